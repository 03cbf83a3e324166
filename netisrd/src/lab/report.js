// The timeline of report.html: the lanes of timeline.svg, but they zoom.
// All times are nanoseconds since the run began.
(function () {
"use strict";

const byId = (id) => document.getElementById(id);
const { picture, events, signs } = JSON.parse(byId("data").textContent);
const chart = byId("view"), axis = byId("axis"), lanes = byId("lanes"), tip = byId("tip");
const S = 1e9, MINUTE = 60 * S, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

// What is shown: a span of time, a moment that was clicked on, a filter.
const view = { from: 0, to: picture.end, cursor: null, machine: "", vhid: "" };
let left = 150, width = 1000, rows = [], asked = false;
// Where marks are drawn: like the plot, but not cut off at its edges.
let over;
// Of more rows than these only those near the window are drawn.
const MANY = 100;
let scrolled = 0;

// ---- words, as words.rs has them ----

function moment(t) {
  t = Math.round(t);
  const fraction = String(t % S).padStart(9, "0").replace(/0+$/, "");
  const rest = fraction ? "." + fraction : "";
  return t < 2 * MINUTE ? Math.floor(t / S) + rest + " s" : clock(t) + rest;
}

function clock(t) {
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const day = Math.floor(t / DAY), hour = Math.floor(t / HOUR % 24), minute = Math.floor(t / MINUTE % 60);
  const second = two(t / S % 60);
  if (day) return `${day} d ${two(hour)}:${two(minute)}:${second}`;
  return hour ? `${hour}:${two(minute)}:${second}` : `${minute}:${second}`;
}

function lasts(d) {
  const both = (a, of, b, these) => b >= 1 ? `${Math.floor(a)} ${of} ${Math.floor(b)} ${these}` : `${Math.floor(a)} ${of}`;
  const scaled = (unit, name) => Number((d / unit).toFixed(3)) + " " + name;
  if (d < 1e3) return Math.round(d) + " ns";
  if (d < 1e6) return scaled(1e3, "µs");
  if (d < S) return scaled(1e6, "ms");
  if (d < MINUTE) return scaled(S, "s");
  if (d < HOUR) return both(d / MINUTE, "min", d % MINUTE / S, "s");
  if (d < DAY) return both(d / HOUR, "h", d % HOUR / MINUTE, "min");
  return both(d / DAY, "d", d % DAY / HOUR, "h");
}

const period = (from, to) => `from ${moment(from)} to ${moment(to)}, ${lasts(to - from)}`;
const laneName = (l) => l.ifname ? `${l.machine} ${l.ifname} vhid ${l.vhid}` : `${l.machine} vhid ${l.vhid} (sends)`;
const pingsName = (p) => `${p.client} → ${p.to}`;

function advertText(lane, [from, to, count, base, skew]) {
  if (count > 1) return `${laneName(lane)}: ${count} advertisements until ${moment(to)}`;
  return `${laneName(lane)} advertises, advbase ${base} advskew ${skew}`;
}

function pingText(p, [, to, count, lost, low, high, machine]) {
  const pings = `${p.client} pings ${p.to}`, by = machine ? ` by ${machine}` : "";
  if (count > 1) return `${pings}: ${count} until ${moment(to)}, ${lost} lost, ${lasts(low)} to ${lasts(high)}${by}`;
  return lost ? `${pings}: lost` : `${pings}: answered${by} in ${lasts(high)}`;
}

// ---- everything that happened, in order, for the list around a moment ----

const all = events.map((e) => ({ t: e.t, machine: e.machine, vhid: e.vhid, change: e.change, text: () => e.text }));
for (const lane of picture.lanes) {
  for (const a of lane.adverts) {
    all.push({ t: a[0], machine: lane.machine, vhid: lane.vhid, text: () => advertText(lane, a) });
  }
}
for (const p of picture.pings) {
  for (const r of p.runs) all.push({ t: r[0], text: () => pingText(p, r) });
}
all.sort((a, b) => a.t - b.t);

// Where in `list` the first is whose time is not below t.
function search(list, t, time) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(list[middle]) < t) low = middle + 1; else high = middle;
  }
  return low;
}

function passes(machine, vhid) {
  return (!view.machine || machine === undefined || machine === view.machine)
    && (!view.vhid || vhid === undefined || String(vhid) === view.vhid);
}

// ---- drawing ----

function el(name, attributes, parent, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const x = (t) => (t - view.from) / (view.to - view.from) * width;
const timeAt = (px) => view.from + (px - left) / width * (view.to - view.from);
const seen = (from, to) => to >= view.from && from <= view.to;
const round = (n) => Math.round(n * 100) / 100;
// A guess, and never too little.
const textWidth = (text, size) => text.length * size * 0.64;

function fit(text, size, room) {
  const most = Math.max(1, Math.floor(room / (size * 0.64)));
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

function bar(parent, cls, from, to, y, height, tip) {
  const a = Math.max(x(from), -5), b = Math.min(x(to), width + 5);
  return el("rect", { class: cls, x: round(a), y, width: round(Math.max(b - a, 1)), height, "data-tip": tip }, parent);
}

// Spans that touch, or all but touch, as one: [x, x] each.
function merged(spans, gap) {
  const runs = [];
  for (const [a, b] of spans) {
    const last = runs[runs.length - 1];
    if (last && a - last[1] < gap) last[1] = Math.max(last[1], b); else runs.push([a, b]);
  }
  return runs;
}

// Of a list in order of [0], what is in view and one before.
function inView(list) {
  return list.slice(Math.max(0, search(list, view.from, (a) => a[0]) - 1), search(list, view.to + 1, (a) => a[0]));
}

// Which rows there are, one below the other.
function layout() {
  const machines = picture.machines.filter((m) => passes(m.name));
  const shown = picture.lanes.filter((l) => passes(l.machine, l.vhid)), small = shown.length > 40;
  const names = [...machines.map((m) => m.name), ...picture.pings.map(pingsName)].map((n) => textWidth(n, 12));
  names.push(...shown.map((l) => textWidth(laneName(l), small ? 10 : 12)));
  left = Math.min(Math.max(100, ...names) + 24, 260, chart.clientWidth / 3);
  width = Math.max(chart.clientWidth - left - 24, 100);
  rows = [];
  let y = 6, lan;
  const add = (row) => { row.y = y; rows.push(row); y += row.height; };
  const heading = (name) => { y += 4; add({ kind: "head", name, height: 20 }); };
  if (picture.faults.length) {
    heading("faults");
    add({ kind: "faults", height: 18 * faultRows() + 4 });
  }
  if (machines.length) heading("machines");
  for (const machine of machines) add({ kind: "machine", name: machine.name, machine, height: 22 });
  for (const lane of shown) {
    if (lan !== lane.lan) {
      lan = lane.lan;
      heading(lan || "on no LAN");
    }
    add({ kind: "lane", name: laneName(lane), lane, small, height: small ? 14 : 27 });
  }
  if (picture.pings.length) heading("pings");
  for (const pings of picture.pings) add({ kind: "pings", name: pingsName(pings), pings, height: 56 });
  return y + 8;
}

// The faults' places: those in view, each on the first row with room.
function placeFaults() {
  const free = Array(8).fill(0);
  return picture.faults.filter((f) => seen(f.from, f.to)).map((fault) => {
    const from = Math.max(x(fault.from), 0), to = Math.max(Math.min(x(fault.to), width), from + 1);
    const name = fit(fault.text, 11, Math.max(width - from, from) - 8), room = textWidth(name, 11) + 8;
    const after = from + room <= width || from < room, at = after ? from : from - room;
    let row = free.findIndex((f) => f <= at);
    const named = row >= 0;
    if (named) free[row] = Math.max(to, at + room) + 3; else row = free.length;
    return { fault, from, to, after, row, name: named ? name : "" };
  });
}

const faultRows = () => Math.max(1, ...placeFaults().map((f) => f.row + 1));

function draw() {
  asked = false;
  const height = layout();
  for (const svg of [axis, lanes]) svg.replaceChildren();
  axis.setAttribute("height", 24);
  lanes.setAttribute("height", height);
  const plot = el("svg", { x: left, width, height, overflow: "hidden" }, lanes);
  const back = el("g", {}, plot), front = el("g", {}, plot);
  over = el("svg", { x: left - 8, width: width + 16, height, viewBox: `-8 0 ${width + 16} ${height}` }, lanes);
  drawAxis(back, height);
  scrolled = scrollY;
  const top = lanes.getBoundingClientRect().top;
  const far = (row) => top + row.y > innerHeight + 600 || top + row.y + row.height < -600;
  for (const row of rows) {
    if (rows.length > MANY && far(row)) continue;
    if (row.kind === "head") {
      el("text", { class: "head", x: 12, y: row.y + 14 }, lanes, fit(row.name, 12, left + width));
      continue;
    }
    const size = row.small ? 10 : 12;
    const label = { x: left - 10, y: row.y + (row.small ? 8 : 13), "text-anchor": "end", "font-size": size, "data-tip": row.name || "" };
    if (row.name) el("text", label, lanes, fit(row.name, size, left - 16));
    ({ faults: drawFaults, machine: drawMachine, lane: drawLane, pings: drawPings })[row.kind](front, row, back, height);
  }
  for (const v of picture.verdicts.filter((v) => v.violated && seen(v.at, v.at))) {
    el("line", { class: "violation", x1: x(v.at), x2: x(v.at), y1: 0, y2: height, "data-tip": `${moment(v.at)}\n${v.text}` }, front);
  }
  if (view.cursor !== null) el("line", { class: "cursor", x1: x(view.cursor), x2: x(view.cursor), y1: 0, y2: height }, front);
}

// Once for whatever happens until the next frame.
function redraw() {
  if (!asked) requestAnimationFrame(draw);
  asked = true;
}

function drawAxis(back, height) {
  const seconds = [1, 2, 5, 10, 15, 30], steps = [];
  for (let n = 1; n < S; n *= 10) steps.push(n, 2 * n, 5 * n);
  steps.push(...seconds.map((n) => n * S), ...seconds.map((n) => n * MINUTE), ...[1, 2, 3, 6, 12].map((n) => n * HOUR));
  const least = (view.to - view.from) / Math.max(1, width / 110);
  const step = steps.find((s) => s >= least) || Math.ceil(least / DAY) * DAY;
  for (let n = Math.ceil(view.from / step); n * step <= view.to; n++) {
    const at = x(n * step);
    el("path", { class: "grid", d: `M${round(at)} 0V${height}` }, back);
    const text = n === 0 ? "0" : moment(n * step), half = textWidth(text, 11) / 2;
    const middle = Math.min(left + at, left + width + 20 - half);
    el("text", { class: "small dim", x: middle, y: 16, "text-anchor": "middle" }, axis, text);
  }
}

function drawFaults(front, row, back, height) {
  for (const { fault, from, to, after, row: line, name } of placeFaults()) {
    const y = row.y + 18 * line, tip = `${fault.text}\n${period(fault.from, fault.to)}`;
    el("rect", { class: "fault name", x: from, y, width: to - from, height: 15, "data-tip": tip }, front);
    const place = after ? { x: from + 4 } : { x: from - 4, "text-anchor": "end" };
    el("text", { class: "small", ...place, y: y + 11.5, "pointer-events": "none" }, front, name);
    const shade = (y, height) => el("rect", { class: "fault", x: from, y, width: to - from, height }, back);
    if (!fault.lan && !fault.machine) {
      shade(y + 15, height);
      continue;
    }
    // Rows that touch get one band.
    let top = null, bottom = 0;
    for (const r of rows.filter((r) => concerns(fault, r))) {
      if (top !== null && r.y - bottom > 3) {
        shade(top, bottom - top);
        top = null;
      }
      if (top === null) top = r.y - 3;
      bottom = r.y + r.height - 3;
    }
    if (top !== null) shade(top, bottom - top);
  }
}

function concerns(fault, row) {
  const machine = row.lane ? row.lane.machine : row.machine ? row.machine.name : row.pings && row.pings.client;
  const lan = row.lane && row.lane.lan;
  return machine && (!fault.machine || fault.machine === machine) && (!fault.lan || fault.lan === lan);
}

function drawMachine(front, row) {
  const { machine, y } = row, middle = y + 9;
  for (const s of machine.power.filter((s) => seen(s.from, s.to))) {
    const height = { on: 4, paused: 8, off: 2 }[s.is];
    bar(front, s.is, s.from, s.to, middle - height / 2, height, `${machine.name} is ${s.is} ${period(s.from, s.to)}`);
  }
  const marks = machine.marks.filter((m) => seen(m.at, m.at));
  for (let i = 0; i < marks.length;) {
    const at = x(marks[i].at), start = i++;
    const near = (room) => i < marks.length && x(marks[i].at) < at + room;
    if (near(13)) while (near(30)) i++;
    drawMarks(marks.slice(start, i), at, middle);
  }
}

// Some marks at one place: the sign of the gravest, and how many more.
function drawMarks(marks, at, y) {
  const rank = ["command", "error", "resume", "pause", "boot", "halt", "crash"];
  const kind = marks.reduce((a, m) => rank.indexOf(m.kind) > rank.indexOf(a) ? m.kind : a, marks[0].kind);
  const text = marks.slice(0, 12).map((m) => `${moment(m.at)} ${m.text}`);
  if (marks.length > 12) text.push(`and ${marks.length - 12} more`);
  const more = marks.length > 1 ? `+${marks.length - 1}` : "", tip = text.join("\n");
  const g = el("g", { "data-tip": tip, transform: `translate(${round(at)} ${y})` }, over);
  el("rect", { class: "halo", x: -7, y: -7, width: 14 + textWidth(more, 9), height: 14, rx: 3 }, g);
  el("path", { class: signs[kind][0], d: signs[kind][1] }, g);
  el("text", { class: "tiny", x: 6, y: 3.5 }, g, more);
}

function drawLane(front, row) {
  const { lane, y, small } = row, high = small ? 8 : 16;
  const g = el("g", { class: "lane", "data-machine": lane.machine, "data-vhid": lane.vhid }, front);
  const spans = lane.spans.filter((s) => seen(s.from, s.to));
  for (let i = 0; i < spans.length;) {
    const span = spans[i], edge = x(span.from) + 1, start = i;
    while (i < spans.length && x(spans[i].to) < edge) i++;
    if (i - start > 1) {
      const to = spans[i - 1].to;
      bar(g, "state many", span.from, to, y, high, `${row.name}: ${i - start} states ${period(span.from, to)}`);
      continue;
    }
    i = start + 1;
    bar(g, `state ${span.is}`, span.from, span.to, y, high, `${row.name}: ${span.is} ${period(span.from, span.to)}`);
    const from = Math.max(x(span.from), 0), room = Math.min(x(span.to), width) - from - 8;
    const said = [`${span.is} from ${moment(span.from)}`, span.is, span.is[0]].find((s) => textWidth(s, 11) <= room);
    if (said && !small) {
      el("text", { class: `small in-${span.is}`, x: from + 5, y: y + 12, "pointer-events": "none" }, g, said);
    }
  }
  const top = y + high + 1.5, tick = small ? 3 : 5;
  let single = "", close = "";
  for (const [a, b] of merged(inView(lane.adverts).map((r) => [x(r[0]), x(r[1])]), 2)) {
    if (b - a < 1) single += `M${round(a)} ${top}v${tick}`;
    else close += `M${round(a)} ${top}H${round(b)}v${tick}H${round(a)}z`;
  }
  if (single) el("path", { class: "advert", d: single }, g);
  if (close) el("path", { class: "band", d: close }, g);
  el("rect", { class: "touch", x: 0, y: y + high, width, height: tick + 4, "data-row": rows.indexOf(row) }, g);
}

function drawPings(front, row) {
  const { pings, y } = row, high = 34, most = pings.rtt ? Math.max(pings.rtt[2], 1) : 1;
  const scale = (rtt) => y + high - 2 - (high - 6) * rtt / most;
  el("text", { class: "small dim", x: left - 10, y: y + 28, "text-anchor": "end" }, lanes, `${pings.lost} of ${pings.sent} lost`);
  el("rect", { class: "frame", x: 0, y, width, height: high }, front);
  const runs = inView(pings.runs);
  let lost = "", answered = "", column = null;
  for (const [a, b] of merged(runs.filter((r) => r[3]).map((r) => [x(r[0]), x(r[1])]), 1)) {
    lost += `M${round(a)} ${y}h${round(Math.max(b - a, 2))}v${high}H${round(a)}z`;
  }
  const put = (c) => { if (c) answered += `M${c[0]} ${round(c[1] - 1)}h2V${round(c[2] + 1)}h-2z`; };
  for (const r of runs.filter((r) => r[5] > 0)) {
    const at = Math.floor(x(r[0])), top = scale(r[5]), bottom = scale(r[4]);
    if (column && column[0] === at) {
      column[1] = Math.min(column[1], top);
      column[2] = Math.max(column[2], bottom);
    } else {
      put(column);
      column = [at, top, bottom];
    }
  }
  put(column);
  el("path", { class: "lost", d: lost }, front);
  el("path", { class: "answered", d: answered }, front);
  if (pings.rtt) el("text", { class: "tiny dim", x: 4, y: y + 10 }, front, `up to ${lasts(pings.rtt[2])}`);
  drawAnswerers(front, runs.filter((r) => r[6]), y + high + 5);
  el("rect", { class: "touch", x: 0, y, width, height: high, "data-row": rows.indexOf(row) }, front);
}

// A line for each machine's turn at answering.
function drawAnswerers(front, runs, y) {
  let free = -5;
  for (let i = 0; i < runs.length;) {
    const start = i, who = runs[i][6];
    while (i < runs.length && runs[i][6] === who) i++;
    const from = Math.max(x(runs[start][0]), free), to = Math.min(x(runs[i - 1][1]), width) + 2;
    if (to < free) continue;
    const tip = `${who} answers ${period(runs[start][0], runs[i - 1][1])}`, said = `${who} answers`;
    el("path", { class: "who", d: `M${round(from)} ${y}H${round(to)}`, "data-tip": tip }, front);
    if (textWidth(said, 9) <= to - Math.max(from, 0)) {
      el("text", { class: "tiny dim", x: Math.max(from, 0) + 1, y: y + 11 }, front, said);
    }
    free = to + 1;
  }
}

// ---- moving ----

function show(from, to) {
  const span = Math.min(Math.max(to - from, 1000), picture.end);
  view.from = Math.min(Math.max(from, 0), picture.end - span);
  view.to = view.from + span;
  redraw();
}

function zoom(factor, around) {
  const at = around === undefined ? (view.from + view.to) / 2 : around;
  show(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

const pan = (part) => show(view.from + part * (view.to - view.from), view.to + part * (view.to - view.from));
const whole = () => show(0, picture.end);

// Puts the cursor to a moment and lists what happened around it.
function go(t) {
  view.cursor = Math.min(Math.max(t, 0), picture.end);
  if (!seen(view.cursor, view.cursor)) {
    const half = (view.to - view.from) / 2;
    show(view.cursor - half, view.cursor + half);
  }
  list();
  redraw();
}

function jump(direction) {
  const changes = all.filter((e) => e.change && passes(e.machine, e.vhid));
  const at = view.cursor === null ? (direction > 0 ? -1 : picture.end + 1) : view.cursor;
  const found = direction > 0 ? changes.find((e) => e.t > at) : changes.findLast((e) => e.t < at);
  if (found) go(found.t);
}

// Makes a button of a moment.
function button(t) {
  const node = document.createElement("button");
  Object.assign(node, { type: "button", className: "at", textContent: moment(t) });
  node.dataset.t = t;
  return node;
}

function list() {
  const around = byId("around"), body = around.querySelector("tbody");
  around.hidden = view.cursor === null;
  if (around.hidden) return;
  around.querySelector("h3").textContent = `Around ${moment(view.cursor)}`;
  const middle = search(all, view.cursor, (e) => e.t), before = [], after = [];
  for (let i = middle - 1; i >= 0 && before.length < 12; i--) if (passes(all[i].machine, all[i].vhid)) before.unshift(all[i]);
  for (let i = middle; i < all.length && after.length < 24; i++) if (passes(all[i].machine, all[i].vhid)) after.push(all[i]);
  const near = (e) => Math.abs(e.t - view.cursor), found = [...before, ...after];
  const nearest = Math.min(...found.map(near));
  body.replaceChildren(...found.map((e) => {
    const tr = document.createElement("tr"), off = e.t - view.cursor;
    if (near(e) === nearest) tr.className = "here";
    const at = tr.insertCell(), from = tr.insertCell();
    at.className = "time";
    at.append(button(e.t));
    from.className = "number";
    from.textContent = (off < 0 ? "−" : "+") + lasts(Math.abs(off));
    tr.insertCell().textContent = e.text();
    return tr;
  }));
  const here = body.querySelector(".here"), box = around.querySelector(".scroll");
  if (here) box.scrollTop = here.offsetTop - box.clientHeight / 3;
}

function filter() {
  view.machine = byId("machine").value;
  view.vhid = byId("vhid").value;
  for (const row of document.querySelectorAll("#changes tr[data-machine], .command")) {
    row.hidden = !passes(row.dataset.machine, row.dataset.vhid);
  }
  list();
  redraw();
}

// ---- what the reader does ----

// What is under the pointer.
function told(e) {
  const own = e.target.closest("[data-tip]");
  if (own) return own.dataset.tip;
  if (e.target.dataset.row === undefined) return "";
  const row = rows[e.target.dataset.row], t = timeAt(e.clientX - chart.getBoundingClientRect().left);
  const runs = row.lane ? row.lane.adverts : row.pings.runs, reach = 6 / width * (view.to - view.from);
  const i = search(runs, t, (r) => r[0]);
  const off = (r) => Math.max(r[0] - t, t - r[1], 0);
  const best = [runs[i - 1], runs[i]].filter((r) => r && off(r) <= reach).sort((a, b) => off(a) - off(b))[0];
  if (!best) return "";
  return `${moment(best[0])}\n${row.lane ? advertText(row.lane, best) : pingText(row.pings, best)}`;
}

function hover(e) {
  const text = told(e), px = e.clientX - chart.getBoundingClientRect().left;
  tip.hidden = px < left && !text;
  if (tip.hidden) return;
  tip.textContent = text || moment(timeAt(px));
  const right = e.clientX + 16 + tip.offsetWidth < innerWidth, low = e.clientY + 20 + tip.offsetHeight < innerHeight;
  tip.style.left = (right ? e.clientX + 14 : Math.max(e.clientX - tip.offsetWidth - 10, 4)) + "px";
  tip.style.top = (low ? e.clientY + 16 : Math.max(e.clientY - tip.offsetHeight - 10, 4)) + "px";
}

let drag = null;
chart.addEventListener("pointerdown", (e) => {
  if (e.button === 0) drag = { x: e.clientX, from: view.from, to: view.to, moved: false };
});
chart.addEventListener("pointermove", (e) => {
  if (!drag) return hover(e);
  const by = (drag.x - e.clientX) / width * (drag.to - drag.from);
  if (!drag.moved && Math.abs(e.clientX - drag.x) < 4) return;
  if (!drag.moved) chart.setPointerCapture(e.pointerId);
  drag.moved = tip.hidden = true;
  chart.classList.add("drag");
  show(drag.from + by, drag.to + by);
});
chart.addEventListener("pointerup", (e) => {
  const px = e.clientX - chart.getBoundingClientRect().left;
  if (drag && !drag.moved && px >= left) go(timeAt(px));
  drag = null;
  chart.classList.remove("drag");
});
chart.addEventListener("pointercancel", () => { drag = null; chart.classList.remove("drag"); });
chart.addEventListener("pointerleave", () => { tip.hidden = true; });
// Beside the lanes, and when all is shown already, the wheel is the page's.
chart.addEventListener("wheel", (e) => {
  const px = e.clientX - chart.getBoundingClientRect().left, sideways = Math.abs(e.deltaX) > Math.abs(e.deltaY);
  const full = view.to - view.from >= picture.end;
  if (px < left || (full && (sideways || e.deltaY > 0))) return;
  e.preventDefault();
  if (sideways) pan(e.deltaX / width); else zoom(e.deltaY > 0 ? 1.25 : 0.8, timeAt(px));
}, { passive: false });

addEventListener("scroll", () => {
  if (rows.length > MANY && Math.abs(scrollY - scrolled) > 300) redraw();
});

const keys = {
  "+": () => zoom(0.5, view.cursor && seen(view.cursor, view.cursor) ? view.cursor : undefined), "-": () => zoom(2),
  "0": whole, Home: whole, ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), n: () => jump(1), p: () => jump(-1),
};
keys["="] = keys["+"];
chart.addEventListener("keydown", (e) => {
  if (!keys[e.key] || e.ctrlKey || e.altKey || e.metaKey) return;
  e.preventDefault();
  keys[e.key]();
});
const buttons = { in: "+", out: "-", back: "ArrowLeft", on: "ArrowRight", all: "0", previous: "p", next: "n" };
for (const id in buttons) byId(id).addEventListener("click", keys[buttons[id]]);
for (const id of ["machine", "vhid"]) byId(id).addEventListener("change", filter);
document.addEventListener("click", (e) => {
  if (e.target.matches("button.at")) go(Number(e.target.dataset.t));
});
// report.html#t=3.39 begins with a moment, in seconds.
function byAddress() {
  const match = /^#t=([0-9.]+)$/.exec(location.hash);
  if (match) go(Number(match[1]) * S);
}
addEventListener("hashchange", byAddress);

// ---- the beginning ----

function options(id, values) {
  for (const value of values) byId(id).add(new Option(value, value));
}

function legend(name, cls, path) {
  const span = document.createElement("span");
  const svg = el("svg", { width: 14, height: 12 }, span);
  if (path) el("path", { class: cls, d: path, transform: "translate(7 6)" }, svg);
  else el("rect", { class: cls, width: 14, height: 12, rx: 2 }, svg);
  span.append(name);
  byId("legend").append(span);
}

options("machine", new Set([...picture.machines.map((m) => m.name), ...picture.lanes.map((l) => l.machine)]));
options("vhid", [...new Set(picture.lanes.map((l) => l.vhid))].sort((a, b) => a - b));
for (const state of ["ABSENT", "INIT", "BACKUP", "MASTER"]) legend(state, state);
legend("changes in a row", "many");
legend("advertisement", "advert", "M0 -5V5");
legend("lost ping", "lost");
legend("fault", "fault");
for (const [cls, path, name] of Object.values(signs)) legend(name, cls, path);
for (const node of document.querySelectorAll("span.at")) node.replaceWith(button(Number(node.dataset.t)));
for (const id of ["tools", "view", "help"]) byId(id).hidden = false;
draw();
byAddress();
new ResizeObserver(redraw).observe(chart);
byId("still").hidden = true;
document.documentElement.dataset.ready = "yes";
})();
