//! The page as text; `tests/tests/lab_report.rs` opens it in a browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::html;
use crate::lab::record::{Event, State, What};
use crate::lab::timeline::tests::{at, run, state};

const S: u64 = 1_000_000_000;

fn page(what: Vec<Event>) -> String {
    let mut events = vec![run("x</script>y", &["a"])];
    events.extend(what);
    html(&events).unwrap()
}

fn command(status: i32, output: &str) -> Event {
    let (machine, line) = ("a".into(), "ls </script>".into());
    at(S, What::Command { machine, line, status, output: output.into() })
}

#[test]
fn nothing_that_was_printed_ends_the_script() {
    let text = page(vec![command(1, "</script><script>alert(1)</script>"), command(0, "<!--")]);
    assert_eq!(text.matches("<script").count(), 2, "the data, and the script");
    assert_eq!(text.matches("</script").count(), 2);
    assert!(!text.contains("<!--"));
    let data = text.split(r#"type="application/json">"#).nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["picture"]["scenario"], "x</script>y");
    assert_eq!(data["events"][1]["text"], "a: ls </script> (exit status 1)");
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let text = page(vec![command(0, "")]).replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=", "@import", "<link"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn a_change_says_how_long_it_took_since_the_crash_and_since_the_one_before() {
    let crash = at(3 * S, What::Crash { machine: "b".into() });
    let changes = [
        state(S, "a", 1, State::Init, State::Backup),
        state(6 * S + S / 2, "a", 1, State::Backup, State::Master),
    ];
    let [first, last] = changes;
    let text = page(vec![first, crash, last]);
    assert!(text.contains(">5.5 s</td>"), "since it became BACKUP: {text}");
    assert!(text.contains("3.5 s after: b crashes"), "{text}");
}

#[test]
fn a_failed_command_shows_its_output_and_others_fold_it() {
    let text = page(vec![command(1, "no such file\n"), command(0, "files\n"), command(0, "")]);
    assert_eq!(text.matches("<details").count(), 2);
    assert_eq!(text.matches(r#"data-machine="a" open>"#).count(), 1, "{text}");
    assert!(text.contains("<pre>no such file\n</pre>"));
}

#[test]
fn verdicts_are_at_the_top() {
    let expect = |holds| at(2 * S, What::Expect { text: "a is MASTER".into(), holds, seen: "BACKUP".into() });
    let text = page(vec![expect(true), expect(false), at(2 * S, What::End { passed: false })]);
    assert!(text.contains(r#"<strong class="badge bad">FAILED</strong>"#), "{text}");
    assert!(text.contains("1 hold, 1 do not."));
}
