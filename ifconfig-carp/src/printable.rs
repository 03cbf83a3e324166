//! Standard output, on which nothing that a machine says repaints a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Escapes control characters: an argument with a newline in it must not make
/// a second line, nor one with an escape sequence repaint the terminal.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

fn escaped(text: &str, keep: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !keep(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Escapes what is neither text nor layout. A character must be written whole.
pub(crate) struct Printable<'w>(pub(crate) &'w mut dyn Write);

impl Write for Printable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(&escaped(chunk.valid(), |c| matches!(c, '\n' | '\t')));
            for byte in chunk.invalid() {
                // Writing to a String does not fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        self.0.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_machine_says_repaints_no_terminal() {
        let mut out = Vec::new();
        Printable(&mut out).write_all(b"a\tb\n\x1b[31m\x7f\xc2\x9b \xc3\xbc\x9b").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\tb\n\\u{1b}[31m\\u{7f}\\u{9b} ü\\x9b");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(one_line("a\nb\tc\u{1b}ü"), "a\\nb\\tc\\u{1b}ü");
    }
}
