//! What a process says, line by line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Starts a program in a namespace, and has `hear` hear each line that it says
/// on either stream. `hear` is dropped when it says no more.
pub(super) fn spawn(
    netns: &str,
    mut command: Command,
    hear: impl FnMut(&str) + Clone + Send + 'static,
) -> Result<Child, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = super::net::within(netns, || command.spawn())?.map_err(|e| format!("{name}: {e}"))?;
    if let Some(stdout) = child.stdout.take() {
        follow(stdout, hear.clone())?;
    }
    if let Some(stderr) = child.stderr.take() {
        follow(stderr, hear)?;
    }
    Ok(child)
}

fn follow(
    stream: impl Read + Send + 'static,
    mut hear: impl FnMut(&str) + Send + 'static,
) -> Result<(), String> {
    let work = move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            hear(&String::from_utf8_lossy(&line));
        }
    };
    thread::Builder::new().name("log".into()).spawn(work).map(drop).map_err(|e| e.to_string())
}

/// A line of netisrd's or ucarp's log without the wall clock's time, and
/// without netisrd's level.
pub(super) fn without_stamp(line: &str) -> &str {
    let Some((stamp, rest)) = line.split_once(' ').filter(|(word, _)| word.len() > 20 && word.contains('T'))
    else {
        return line;
    };
    match stamp.chars().last() {
        Some('Z') => rest.trim_start().split_once(' ').map_or("", |(_, text)| text),
        Some(':') => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::without_stamp;

    #[test]
    fn a_line_of_the_log_is_told_without_its_stamp() {
        for (line, text) in [
            ("2026-11-29T06:38:18.123456Z  INFO carp0: a sentence", "carp0: a sentence"),
            ("2026-11-29T06:38:18.123456Z DEBUG", ""),
            ("2026-11-29T07:07:51.655301: [WARNING] a sentence", "[WARNING] a sentence"),
            ("netisrd: tap em0: no", "netisrd: tap em0: no"),
            ("", ""),
        ] {
            assert_eq!(without_stamp(line), text);
        }
    }
}
