//! A run's report, opened in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use netisrd::lab::record::{Event, Family, State, What};
use netisrd::lab::{report, timeline};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{Said, command, find_program, skip};

const MS: u64 = 1_000_000;

fn change(machine: &str, from: State, to: State) -> What {
    let (ifname, lan) = ("carp0".into(), Some("net0".into()));
    What::State { machine: machine.into(), ifname, lan, vhid: 1, from, to }
}

fn advert(machine: &str, advskew: u8) -> What {
    let (lan, machine) = ("net0".into(), machine.into());
    What::Advert { lan, machine, vhid: 1, advbase: 1, advskew, family: Family::Ip }
}

/// Each 100 ms; between a's crash and b's first advertisement none is
/// answered.
fn pings() -> impl Iterator<Item = Event> {
    (3_100..30_000).step_by(100).map(|ms| {
        let lost = (12_000..15_391).contains(&ms);
        let rtt = (!lost).then_some(400_000 + ms % 700 * 1_000);
        let by = if ms < 12_000 { "a" } else { "b" };
        let (client, to, seq) = ("c".into(), [10, 0, 0, 100].into(), (ms - 3_100) / 100);
        let machine = rtt.map(|_| by.into());
        let what = What::Ping { client, to, seq, sent: ms * MS, rtt, machine };
        Event { at: ms * MS + rtt.unwrap_or(1_000 * MS), what }
    })
}

/// a is MASTER and crashes at 12 s; b takes over at 15.391 s.
fn failover() -> Vec<Event> {
    use State::{Absent, Backup, Init, Master};
    let (scenario, time) = ("failover & <loss>".into(), "virtual".into());
    let (lans, machines) = (vec!["net0".into()], vec!["a".into(), "b".into()]);
    let fault =
        |over| What::Fault { text: "net0: loss 0.1".into(), lan: Some("net0".into()), machine: None, over };
    let (text, seen) = ("b is MASTER within 4 s".into(), "after 3.391 s".into());
    let line = "ifconfig-carp carp0".into();
    let output = "carp0: flags=843<UP,BROADCAST,RUNNING,SIMPLEX>\n\tcarp: MASTER vhid 1\n</script>\n".into();
    let mut all = vec![
        (0, What::Run { scenario, seed: 7, time, lans, machines }),
        (0, What::Boot { machine: "a".into() }),
        (0, What::Boot { machine: "b".into() }),
        (10, change("a", Absent, Init)),
        (10, change("b", Absent, Init)),
        (20, change("a", Init, Backup)),
        (20, change("b", Init, Backup)),
        (3_000, change("a", Backup, Master)),
        (8_000, fault(false)),
        (10_000, fault(true)),
        (12_000, What::Crash { machine: "a".into() }),
        (12_000, change("a", Master, Absent)),
        (15_391, change("b", Backup, Master)),
        (20_000, What::Command { machine: "b".into(), line, status: 0, output }),
        (29_000, What::Expect { text, holds: true, seen }),
        (30_000, What::End { passed: true }),
    ];
    all.extend((3_000..12_000).step_by(1_000).map(|ms| (ms, advert("a", 0))));
    all.extend((15_391..30_000).step_by(1_391).map(|ms| (ms, advert("b", 100))));
    let mut events: Vec<Event> = all.into_iter().map(|(ms, what)| Event { at: ms * MS, what }).collect();
    events.extend(pings().filter(|p| p.at <= 30_000 * MS));
    events.sort_by_key(|e| (e.at, matches!(e.what, What::End { .. })));
    events
}

/// A folder that goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("lab-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A browser that sees only this machine's files; nothing, said, if there is
/// none.
fn browser(dir: &Path) -> Option<Command> {
    let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(find_program)
    else {
        skip("no program chromium in PATH: nobody has opened the report");
        return None;
    };
    let mut browser = command("timeout 120");
    browser.arg(program);
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.args(["--disable-dev-shm-usage", "--hide-scrollbars", "--virtual-time-budget=3000"]);
    browser.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    Some(browser)
}

/// The DOM after the script ran, of the report at `anchor`.
fn dom(dir: &Path, anchor: &str) -> Option<String> {
    let path = dir.join("report.html");
    fs::write(&path, report::html(&failover()).unwrap()).unwrap();
    let mut browser = browser(dir)?;
    browser.arg("--dump-dom").arg(format!("file://{}{anchor}", path.display()));
    Some(Said::by(None, browser).ok())
}

/// What a file looks like: its size, and how many colours are in it.
fn colours(dir: &Path, file: &str, width: u32, height: u32) -> Option<(u32, u32, usize)> {
    let picture = dir.join(format!("{file}.png"));
    let mut browser = browser(dir)?;
    browser.arg(format!("--screenshot={}", picture.display()));
    browser.arg(format!("--window-size={width},{height}"));
    browser.arg(format!("file://{}", dir.join(file).display()));
    Said::by(None, browser).ok();
    let reader = std::io::BufReader::new(fs::File::open(&picture).unwrap());
    let mut decoder = png::Decoder::new(reader);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let seen: BTreeSet<&[u8]> = pixels.chunks(info.color_type.samples()).collect();
    Some((info.width, info.height, seen.len()))
}

/// The part of the DOM that the script has drawn.
fn chart(dom: &str) -> &str {
    let (_, rest) = dom.split_once(r#"<div id="view""#).unwrap();
    rest.split_once(r#"<div id="around""#).unwrap().0
}

#[test]
fn the_script_draws_a_lane_for_each_interface() {
    let dir = Dir::new("lanes");
    let Some(dom) = dom(&dir.0, "") else { return };
    assert!(dom.contains(r#"data-ready="yes""#), "{dom}");
    let chart = chart(&dom);
    assert_eq!(chart.matches(r#"<g class="lane""#).count(), 2, "{chart}");
    assert!(chart.contains("b carp0 vhid 1: MASTER from 15.391 s to 30 s, 14.609 s"), "{chart}");
    assert_eq!(chart.matches(r#"class="lost" d="M"#).count(), 1, "{chart}");
    assert!(dom.contains(r#"<div id="still" hidden"#), "the picture for whoever has no script: {dom}");
    assert!(dom.contains("failover &amp; &lt;loss&gt;") && !dom.contains("<loss>"));
}

#[test]
fn an_address_with_a_moment_lists_what_happened_around_it() {
    let dir = Dir::new("moment");
    let Some(dom) = dom(&dir.0, "#t=15.391") else { return };
    let (_, list) = dom.split_once("Around 15.391 s").unwrap();
    let (list, _) = list.split_once("</table>").unwrap();
    let here: Vec<&str> = list.split("<tr").filter(|row| row.starts_with(r#" class="here""#)).collect();
    assert!(here[0].contains("b carp0 vhid 1: BACKUP -&gt; MASTER"), "{list}");
    assert!(here[1].contains("b carp0 vhid 1 advertises, advbase 1 advskew 100"), "{list}");
    assert!(list.contains("c pings 10.0.0.100: lost"), "{list}");
    assert!(chart(&dom).contains(r#"class="cursor""#));
}

#[test]
fn report_and_timeline_are_not_blank() {
    let dir = Dir::new("blank");
    fs::write(dir.0.join("report.html"), report::html(&failover()).unwrap()).unwrap();
    fs::write(dir.0.join("timeline.svg"), timeline::svg(&failover())).unwrap();
    for (file, height) in [("report.html", 1400), ("timeline.svg", 560)] {
        let Some((w, h, colours)) = colours(&dir.0, file, 1200, height) else { return };
        assert_eq!((w, h), (1200, height), "{file}");
        // Text is drawn in shades: a blank page has one, a page of boxes ten.
        assert!(colours > 100, "{file}: {colours} colours");
    }
}
