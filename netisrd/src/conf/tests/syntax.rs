//! Of the syntax: what sh would assign, and what it would do that is not done.

use super::super::parse::parse;
use super::wrong;

/// The assignments, each as `NAME=WORD|WORD`.
fn read(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let all = parse(text, &mut complaints);
    assert!(complaints.is_empty(), "{text}: {complaints:?}");
    let words = |a: &super::super::parse::Assignment| {
        let words = a.value.words();
        words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join("|")
    };
    all.iter().map(|a| format!("{}={}", a.name, words(a))).collect()
}

/// What sh makes of the same, once it is asked for these variables.
fn sh(text: &str, names: &[&str]) -> Vec<String> {
    let names = names.join(" ");
    let script = format!(
        "{text}\nset -f\nfor name in {names}; do unset IFS; eval \"set -- \\$$name\"\n\
         IFS='|'; printf '%s=%s\\n' \"$name\" \"$*\"; done\n"
    );
    let out = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(out.status.success(), "{text:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn assignments_are_read_as_sh_reads_them() {
    for (text, expected) in [
        ("", &[][..]),
        ("# nothing\n\n   \t# more\n", &[]),
        ("a=b", &["a=b"]),
        ("a=\n", &["a="]),
        ("a=\"\" # said\n", &["a="]),
        ("a=\"one two\"\n", &["a=one|two"]),
        ("a='one  two'\tb=c;d=e\n", &["a=one|two", "b=c", "d=e"]),
        ("a=\"one \\\n  two\"", &["a=one|two"]),
        ("a=\"one\n\ttwo\"", &["a=one|two"]),
        ("a=on\\\ne b\\\n=c", &["a=one", "b=c"]),
        ("a=x'y'\"z\"\\ w", &["a=xyz|w"]),
        ("a='$x `y` \\z'", &["a=$x|`y`|\\z"]),
        ("a=\"\\$x \\`y\\` \\\"z\\\" \\\\ \\w\"", &["a=$x|`y`|\"z\"|\\|\\w"]),
        ("a=\\$\\'", &["a=$'"]),
        ("a=b#c #d", &["a=b#c"]),
        ("a=\"b#c\"", &["a=b#c"]),
        ("a=b=c", &["a=b=c"]),
        ("a='ü ß'", &["a=ü|ß"]),
        ("_a9=*?[]{}!%^", &["_a9=*?[]{}!%^"]),
        ("net.inet.carp.preempt=1\n", &["net.inet.carp.preempt=1"]),
        ("a=\"x\"~", &["a=x~"]),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
        let names: Vec<_> = expected.iter().map(|a| a.split('=').next().unwrap()).collect();
        if !text.contains("net.inet") {
            assert_eq!(sh(text, &names), expected, "{text:?}");
        }
    }
}

#[test]
fn a_word_knows_where_it_stands() {
    let mut complaints = Vec::new();
    let all = parse("\n  a=\"one \\\n   'two\" b=ü' x'\n", &mut complaints);
    let places: Vec<_> = all
        .iter()
        .flat_map(|a| [vec![a.at], a.value.words().iter().map(|w| w.at).collect()].concat())
        .map(|at| (at.line, at.column))
        .collect();
    assert_eq!(places, [(2, 3), (2, 6), (3, 4), (3, 10), (3, 12), (3, 15)]);
}

#[test]
fn what_sh_would_do_is_refused_with_its_place() {
    const NOTHING: &str = "expected NAME=\"VALUE\" or a comment: nothing is run here";
    let quotes = |c| format!("expected quotes around '{c}': sh would not take it as it is");
    let none = |c| format!("expected no '{c}': nothing is expanded here; write \\{c} or use single quotes");
    let closes = |c| format!("expected {c} that closes this one before the end of the file");
    for (text, expected) in [
        ("netisrd_hz=$x", format!("1:12: {}", none('$'))),
        ("\nnetisrd_hz=\"a `date` b\"", format!("2:15: {}", none('`'))),
        ("netisrd_hz=\"100", format!("1:12: {}", closes('"'))),
        ("netisrd_hz='100\n\n", format!("1:12: {}", closes('\''))),
        (
            "netisrd_taps=\"a\nnetisrd_hz=\"1\nnetisrd_socket=\"/b",
            format!("3:16: {}; the one of line 1 goes over several lines", closes('"')),
        ),
        ("netisrd_hz = 1", "1:11: expected '=' right behind netisrd_hz: sh has no blanks around it".into()),
        ("reboot", format!("1:1: {NOTHING}")),
        (". /etc/rc.conf", format!("1:1: {NOTHING}")),
        ("export a=b", format!("1:1: {NOTHING}")),
        ("a+=b", format!("1:1: {NOTHING}")),
        ("9a=b", format!("1:1: {NOTHING}")),
        ("a..b=c", format!("1:1: {NOTHING}")),
        ("ä=b", format!("1:1: {NOTHING}")),
        ("\u{feff}a=b", format!("1:1: {NOTHING}")),
        ("netisrd_hz=1 && reboot", format!("1:14: {NOTHING}")),
        ("netisrd_hz=1&", format!("1:13: {}", quotes('&'))),
        ("netisrd_hz=1|x", format!("1:13: {}", quotes('|'))),
        ("netisrd_hz=(1)", format!("1:12: {}", quotes('('))),
        ("netisrd_hz=1>x", format!("1:13: {}", quotes('>'))),
        ("netisrd_socket=~/x", "1:16: expected no '~' that sh would expand: put it in quotes".into()),
        ("netisrd_hz=1\\", "1:13: expected a character behind the backslash".into()),
        ("netisrd_hz=\"\u{1b}[2J\"", "1:13: expected text, not a control character".into()),
        (
            "netisrd_hz=1\r\n",
            "1:13: expected a newline alone at the end of a line, no carriage return before it".into(),
        ),
    ] {
        assert_eq!(wrong(text), [expected], "{text:?}");
    }
}

#[test]
fn every_error_of_a_file_is_told_in_its_order() {
    let text = "reboot\nnetisrd_hz=ten\nfoo=bar\nnetisrd_netisrs=0\nnetisrd_socket=$x\nnetisrd_hz=1\n";
    let said = wrong(text);
    let lines: Vec<_> = said.iter().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["1:1:", "2:12:", "3:1:", "4:17:", "5:16:", "6:1:"], "{said:#?}");
}
