// Shows the page anew when something has happened, and now and then: counters
// and "last heard" change without an event. Without this script the page
// reloads itself.
'use strict';
let asked = false;
async function look() {
  if (asked) return;
  asked = true;
  try {
    const page = await (await fetch('/', { cache: 'no-store' })).text();
    const main = new DOMParser().parseFromString(page, 'text/html').querySelector('main');
    document.querySelector('main').replaceWith(document.adoptNode(main));
    document.documentElement.dataset.live = 'yes';
  } catch {
    // netisrd does not answer: what is shown is old.
    document.documentElement.dataset.live = 'no';
  } finally {
    asked = false;
  }
}
new EventSource('/events').onmessage = look;
setInterval(look, 5000);
