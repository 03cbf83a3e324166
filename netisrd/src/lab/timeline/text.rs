//! How much room text takes, where nobody knows the font.

use super::words;

/// About as wide as the widest of the usual fonts draws it, in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '(' | ')' => 0.4,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '—' => 1.0,
        'A'..='Z' => 0.75,
        c if c.is_ascii() => 0.64,
        _ => 1.0,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// As much of `text` as there is room for.
pub(super) fn cut(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short, size) + size > room {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

/// `text` on lines of at most `room` pixels; what has no space in it is cut.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = cut(word, size, room);
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) if width(line, size) + width(&word, size) + size <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// What XML can tell: a control character that somebody printed is none.
pub(crate) fn clean(text: String) -> String {
    let told = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}') || matches!(c, '\n' | '\t');
    if text.chars().all(told) {
        return text;
    }
    text.chars().map(|c| if told(c) { c } else { '\u{fffd}' }).collect()
}

/// `from … to …, …`
pub(super) fn period(from: u64, to: u64) -> String {
    let (begin, end) = (words::moment(from), words::moment(to));
    format!("from {begin} to {end}, {}", words::span(to.saturating_sub(from)))
}

/// A coordinate, without the digits that nobody can see.
pub(super) fn px(n: f64) -> String {
    let text = format!("{n:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
