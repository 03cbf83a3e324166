//! A run's report, opened in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{Said, binary, command, find_program, skip};

/// One of `labs/`.
fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs").join(name)
}

/// a is MASTER from 3 s on and crashes at 5.5 s; b takes over at 8.390625 s; a
/// boots at 15 s, and the run ends at 20 s.
fn pair() -> PathBuf {
    lab("pair.toml")
}

/// Runs a scenario, which writes into that folder.
fn run(dir: &Path, scenario: &Path) {
    let mut run = Command::new(binary("netisrd"));
    run.args(["lab", "run", "-o"]).arg(dir).arg(scenario);
    let said = Said::by(None, run).ok();
    assert!(said.contains("passed"), "{said}");
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

/// The DOM after the script ran, of the folder's report at `anchor`.
fn dom(dir: &Path, anchor: &str) -> Option<String> {
    let mut browser = browser(dir)?;
    browser.arg("--dump-dom").arg(format!("file://{}{anchor}", dir.join("report.html").display()));
    Some(Said::by(None, browser).ok())
}

/// What a file looks like.
struct Screenshot {
    size: (u32, u32),
    /// Of each pixel red, green and blue.
    rows: Vec<Vec<[u8; 3]>>,
}

fn screenshot(dir: &Path, file: &str, width: u32, height: u32) -> Option<Screenshot> {
    let picture = dir.join(format!("{file}.png"));
    let mut browser = browser(dir)?;
    browser.arg("--force-color-profile=srgb");
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
    let pixel = |p: &[u8]| [p[0], p[1], p[2]];
    let row = |row: &[u8]| row.chunks(info.color_type.samples()).map(pixel).collect();
    let rows = pixels.chunks(info.line_size).map(row).collect();
    Some(Screenshot { size: (info.width, info.height), rows })
}

/// A state, and how many pixels of a row it fills.
type Run = (&'static str, usize);

/// What fills a row of pixels from left to right, as far as it is MASTER's
/// colour or BACKUP's and no mark of a few pixels.
fn runs(row: &[[u8; 3]]) -> Vec<Run> {
    let colours = [("MASTER", [0x00, 0x7a, 0x5c]), ("BACKUP", [0x8e, 0xc5, 0xec])];
    let state = |pixel: &[u8; 3]| colours.iter().find(|(_, c)| c == pixel).map(|(name, _)| *name);
    let same = row.chunk_by(|a, b| state(a) == state(b));
    same.filter_map(|run| Some((state(run.first()?)?, run.len()))).filter(|(_, len)| *len > 40).collect()
}

/// Whether it is these states, each as long as it lasted in the run.
fn shows(runs: &[Run], lasted: &[(&str, f64)]) -> bool {
    let pixels: usize = runs.iter().map(|(_, len)| len).sum();
    let seconds: f64 = lasted.iter().map(|(_, s)| s).sum();
    let fits = |((state, len), (want, lasted)): (&Run, &(&str, f64))| {
        state == want && (*len as f64 / pixels as f64 - lasted / seconds).abs() < 0.02
    };
    runs.len() == lasted.len() && runs.iter().zip(lasted).all(fits)
}

/// The part of the DOM that the script has drawn.
fn chart(dom: &str) -> &str {
    let (_, rest) = dom.split_once(r#"<div id="view""#).unwrap();
    rest.split_once(r#"<div id="around""#).unwrap().0
}

/// How far a client's pings are told to have been, at most.
fn up_to(picture: &str) -> &str {
    let (_, rest) = picture.split_once(">up to ").unwrap();
    rest.split_once('<').unwrap().0
}

#[test]
fn the_script_draws_a_lane_for_each_interface() {
    let dir = Dir::new("lanes");
    let text = fs::read_to_string(pair()).unwrap();
    let other = dir.0.join("other.toml");
    fs::write(&other, text.replace("\"A pair\"", "\"A & <pair>\"")).unwrap();
    run(&dir.0, &other);
    let Some(dom) = dom(&dir.0, "") else { return };
    assert!(dom.contains(r#"data-ready="yes""#), "{dom}");
    let chart = chart(&dom);
    assert_eq!(chart.matches(r#"<g class="lane""#).count(), 2, "{chart}");
    assert!(chart.contains("b carp0 vhid 1: MASTER from 8.390625 s to 20 s, 11.609 s"), "{chart}");
    assert_eq!(chart.matches(r#"class="lost" d="M"#).count(), 1, "{chart}");
    assert!(dom.contains(r#"<div id="still" hidden"#), "the picture for whoever has no script: {dom}");
    assert!(dom.contains("A &amp; &lt;pair&gt;") && !dom.contains("<pair>"));
}

#[test]
fn report_and_picture_have_one_legend_and_tell_the_same_faults_and_round_trips() {
    let dir = Dir::new("legend");
    run(&dir.0, &lab("flapping-link.toml"));
    let svg = fs::read_to_string(dir.0.join("timeline.svg")).unwrap();
    let Some(dom) = dom(&dir.0, "") else { return };
    let (_, legend) = dom.split_once(r#"<span id="legend">"#).unwrap();
    let (legend, _) = legend.split_once(r#"<div id="view""#).unwrap();
    let names = ["ABSENT", "INIT", "BACKUP", "MASTER", "advertisement", "changes in a row", "fault"];
    for name in names.into_iter().chain(["lost ping", "boot", "crash", "failed command"]) {
        assert!(legend.contains(&format!("</svg>{name}</span>")), "{name}: {legend}");
        assert!(svg.contains(&format!(">{name}</text>")), "{name}: {svg}");
    }
    let chart = chart(&dom);
    assert_eq!((up_to(&svg), up_to(chart)), ("0 ns", "0 ns"));
    for picture in [&*svg, chart] {
        assert_eq!(picture.matches(r#"class="fault name""#).count(), 4, "{picture}");
    }
}

#[test]
fn an_address_with_a_moment_lists_what_happened_around_it() {
    let dir = Dir::new("moment");
    run(&dir.0, &pair());
    let Some(dom) = dom(&dir.0, "#t=8.390625") else { return };
    let (_, list) = dom.split_once("Around 8.390625 s").unwrap();
    let (list, _) = list.split_once("</table>").unwrap();
    let here: Vec<&str> = list.split("<tr").filter(|row| row.starts_with(r#" class="here""#)).collect();
    let has = |what: &str| here.iter().any(|row| row.contains(what));
    assert!(has("b carp0 vhid 1: BACKUP -&gt; MASTER"), "{list}");
    assert!(has("b carp0 vhid 1 advertises, advbase 1 advskew 100"), "{list}");
    assert!(list.contains("c pings 10.0.0.1: lost"), "{list}");
    assert!(chart(&dom).contains(r#"class="cursor""#));
}

#[test]
fn lanes_are_seen_as_long_as_their_states_lasted() {
    let dir = Dir::new("seen");
    run(&dir.0, &pair());
    let a = [("BACKUP", 3.0), ("MASTER", 2.5), ("BACKUP", 5.0)];
    let b = [("BACKUP", 8.390625), ("MASTER", 11.609375)];
    for (file, height) in [("report.html", 1400), ("timeline.svg", 560)] {
        let Some(seen) = screenshot(&dir.0, file, 1200, height) else { return };
        assert_eq!(seen.size, (1200, height), "{file}");
        let all: Vec<_> = seen.rows.iter().map(|row| runs(row)).collect();
        let rows =
            |lasted: &[(&str, f64)]| (0..all.len()).filter(|y| shows(&all[*y], lasted)).collect::<Vec<_>>();
        let (a, b) = (rows(&a), rows(&b));
        assert!(
            a.len() > 2 && b.len() > 2 && a.last() < b.first(),
            "{file}: a at {a:?}, b at {b:?}: {all:?}"
        );
    }
}
