//! The status page in a browser, which is driven over its pipe (the DevTools
//! protocol): what a person sees, with a script and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use tests::lab::{
    self, Lab, N1, N2, Needs, Netisrd, PATIENCE, Proc, find_program, on_tap, skip, target_dir, virtual_host,
};

/// A browser with one page.
struct Browser {
    to: File,
    from: BufReader<File>,
    session: Value,
    next: u64,
    _process: Proc,
}

impl Browser {
    /// `None`, said, if there is none.
    fn open(lab: &Lab, url: &str) -> Option<Browser> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(program) = names.into_iter().find_map(find_program) else {
            skip("no program chromium in PATH: nobody has opened the status page");
            return None;
        };
        let (to, from) = (lab.dir().join("to"), lab.dir().join("from"));
        [&to, &from].iter().for_each(|p| mkfifo(*p, Mode::S_IRWXU).unwrap());
        let mut command = Command::new("sh");
        // A bound for a test that hangs; the descriptors are the protocol's.
        let script = "exec timeout 120 \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\"";
        command.args(["-c", script]).arg(program).env("TO", &to).env("FROM", &from);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-quic"]);
        command.args(["--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1100,900"]);
        command.arg("--remote-debugging-pipe");
        command.arg(format!("--user-data-dir={}", lab.dir().join("profile").display()));
        let process = Proc::spawn("browser", None, command);
        // In the order in which the shell opens them.
        let to = File::options().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut browser = Browser { to, from, session: Value::Null, next: 0, _process: process };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].take();
        browser.call("Page.enable", json!({}));
        browser.go(url);
        Some(browser)
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        self.next
    }

    fn hear(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        loop {
            let mut heard = self.hear();
            if heard["id"] == id {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].take();
            }
        }
    }

    fn wait_event(&mut self, method: &str) {
        while self.hear()["method"] != method {}
    }

    fn go(&mut self, url: &str) {
        self.send("Page.navigate", json!({ "url": url }));
        self.wait_event("Page.loadEventFired");
    }

    /// The value of an expression, or of what it promises.
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until the page has an element that a selector finds; it looks
    /// after each change of the page, and loads nothing.
    fn wait_for(&mut self, selector: &str) {
        let found = format!(
            "new Promise(done => {{
                const look = () => document.querySelector('{selector}') && done(true);
                new MutationObserver(look).observe(document, {{ subtree: true, childList: true, attributes: true }});
                look();
            }})"
        );
        assert_eq!(self.value(&found), true);
    }

    fn screenshot(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let png = base64(shot["data"].as_str().unwrap());
        assert!(png.starts_with(b"\x89PNG"));
        fs::write(target_dir().join(name), png).unwrap();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let four = |d: &[u8]| d.iter().fold(0, |sum, d| sum << 6 | u32::from(*d)) << (6 * (4 - d.len()));
    digits.chunks(4).flat_map(|d| four(d).to_be_bytes()[1..d.len()].to_vec()).collect()
}

/// A BACKUP with a page, and its master.
fn stage(body: impl FnOnce(&Lab, Netisrd, Netisrd, String)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let m2 = on_tap(lab, "m2", "em2@br0", N2);
        m2.carp("carp0", &virtual_host(0));
        m2.wait_master("carp0");
        let m1 = lab.netisrd("m1").tap("em1@br0").args(&["--http", "0"]).start();
        m1.ifconfig(&format!("em1 {N1}/24")).ok();
        m1.carp("carp0", &virtual_host(100));
        m1.wait_backup("carp0");
        m1.wait_stats("advertisement", |s| s.ipackets > 0);
        let said = "http: listening on ";
        let at = m1.proc.log.wait_line(0, said, PATIENCE, |l| l.contains(said));
        let url = format!("http://{}/", m1.proc.log.lines()[at].split(said).nth(1).unwrap());
        body(lab, m1, m2, url);
    });
}

#[test]
fn a_takeover_is_seen_without_loading_the_page_again() {
    stage(|lab, m1, m2, url| {
        let Some(mut browser) = Browser::open(lab, &url) else { return };
        browser.wait_for("span.state.BACKUP");
        assert_eq!(browser.value("window.mark = document.querySelectorAll('svg rect.BACKUP').length"), 1);
        let text = browser.value("document.querySelector('main').innerText");
        let text = text.as_str().unwrap();
        for what in ["carp0 vhid 1", "10.77.0.100/24", &N2.to_string(), "Peers as heard", "The last 24 hours"]
        {
            assert!(text.contains(what), "{what}: {text}");
        }
        m2.proc.kill();
        browser.wait_for("span.state.MASTER");
        browser.wait_for("svg rect.MASTER");
        // It is the same page: what was put into it is there.
        assert_eq!(browser.value("window.mark"), 1);
        assert_eq!(browser.value("document.documentElement.dataset.live"), "yes");
        let colour = "getComputedStyle(document.querySelector('span.state')).backgroundColor";
        assert_eq!(browser.value(colour), "rgb(26, 127, 55)");
        // Nothing came from elsewhere, and nothing was refused.
        let origins =
            "[...new Set(performance.getEntriesByType('resource').map(r => new URL(r.name).origin))]";
        assert_eq!(browser.value(origins), json!([url.trim_end_matches('/')]));
        browser.screenshot("status-page.png");
        m1.carp("carp1", "vhid 2 pass other 10.77.0.200/24");
        browser.wait_for("tr:nth-child(3) span.state.BACKUP");
        // The end of the machine is seen too.
        m1.proc.kill();
        browser.wait_for("html[data-live=\"no\"]");
    });
}

#[test]
fn without_a_script_the_page_reloads_itself() {
    stage(|lab, m1, m2, url| {
        let Some(mut browser) = Browser::open(lab, "about:blank") else { return };
        browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        browser.go(&url);
        m2.proc.kill();
        m1.wait_master("carp0");
        let mut shown = String::new();
        while !shown.contains("MASTER") {
            browser.wait_event("Page.loadEventFired");
            let document = browser.call("DOM.getDocument", json!({ "depth": 0 }));
            let whole = json!({ "nodeId": document["root"]["nodeId"] });
            let html = browser.call("DOM.getOuterHTML", whole);
            shown = html["outerHTML"].as_str().unwrap().split("</style>").nth(1).unwrap().to_owned();
        }
        assert!(shown.contains("<span class=\"state MASTER\">MASTER</span>"), "{shown}");
    });
}
