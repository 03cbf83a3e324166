//! A configuration's text: it is refused with lines that say where, or a machine
//! takes it, and what leads from it to another one.
//!
//! ```text
//!   one file | NUL | another file
//! ```

use netisrd::conf::{Cards, Conf, Errors, rehearse};
use std::path::Path;

/// Bytes of both: a machine is to be quick.
const LONG: usize = 2_000;

/// Reads both, and goes from the first to the second.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Whose files those are is not known.
    if text.len() > LONG || text.contains("passfile") {
        return;
    }
    let (first, second) = text.split_once('\0').unwrap_or((text, ""));
    if let (Some(before), Some(after)) = (read(first), read(second))
        && let Err(errors) = rehearse(before, &after)
    {
        printable(&errors);
    }
}

/// As it is refused, each line of it says where; as it is not, it is not the
/// next time either.
fn read(text: &str) -> Option<Conf> {
    let parse = || Conf::parse(Path::new("f"), text, &Cards::default(), &|_| Ok(Vec::new()));
    match (parse(), parse()) {
        (Ok(conf), Ok(_)) => Some(conf),
        (Err(errors), Err(again)) => {
            printable(&errors);
            assert_eq!(errors.to_string(), again.to_string());
            let last = 1 + text.matches('\n').count();
            for line in errors.lines() {
                let at = line.strip_prefix("f:").and_then(|rest| rest.split(':').next()?.parse().ok());
                assert!(at.is_some_and(|at: usize| (1..=last).contains(&at)), "{line}");
            }
            None
        }
        _ => panic!("refused and not refused: {text:?}"),
    }
}

fn printable(errors: &Errors) {
    assert!(!errors.is_empty());
    assert!(errors.lines().all(|line| !line.contains(char::is_control)), "{errors}");
}
