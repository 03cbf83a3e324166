//! The syntax: assignments as sh reads them, and nothing that sh would do.
//!
//! ```text
//!   file        = (blanks | newline | ";" | comment | assignment)*
//!   comment     = "#" ... newline, where a word could begin
//!   assignment  = name "=" value
//!   name        = a letter or "_", then letters, digits, "_" and "."
//!   value       = (plain | "\" char | "'" ... "'" | '"' ... '"')*
//! ```
//!
//! In double quotes a backslash is for `$`, a backquote, `"`, itself and a
//! newline; a backslash and a newline are nothing, but in single quotes. What sh
//! would expand or run is an error.

use super::place::{Complaint, Place};
use zeroize::Zeroizing;

/// `NAME=VALUE`
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What sh would assign, with the place of each character. It may have a
/// password in it.
pub(super) struct Value {
    text: Zeroizing<String>,
    /// One for each character.
    places: Vec<Place>,
    /// Where it begins.
    pub(super) at: Place,
}

/// A word of a value.
pub(super) struct Word {
    pub(super) text: Zeroizing<String>,
    pub(super) at: Place,
}

impl Value {
    /// As sh splits what stands without quotes in a command.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut begun: Option<(usize, Place)> = None;
        let ends = self.text.char_indices().zip(&self.places).map(|((i, c), at)| (i, c, *at));
        for (i, c, at) in ends.chain([(self.text.len(), ' ', self.at)]) {
            match (matches!(c, ' ' | '\t' | '\n'), begun) {
                (false, None) => begun = Some((i, at)),
                (true, Some((from, at))) => {
                    let text = self.text.get(from..i).unwrap_or_default();
                    words.push(Word { text: Zeroizing::new(text.to_owned()), at });
                    begun = None;
                }
                _ => {}
            }
        }
        words
    }
}

/// All assignments that are understood, whatever is wrong with others.
pub(super) fn parse(text: &str, complaints: &mut Vec<Complaint>) -> Vec<Assignment> {
    let start = Place { line: 1, column: 1 };
    // All the room at once: a buffer that grows leaves copies behind.
    let value = Zeroizing::new(String::with_capacity(text.len()));
    let mut scanner = Scanner {
        rest: text,
        here: start,
        value,
        places: Vec::new(),
        expanded: false,
        complaints,
        several: None,
    };
    let mut all = Vec::new();
    while scanner.skip_to_word() {
        if let Some(assignment) = scanner.assignment() {
            all.push(assignment);
        }
    }
    all
}

struct Scanner<'t> {
    rest: &'t str,
    here: Place,
    /// The value that is being read.
    value: Zeroizing<String>,
    places: Vec<Place>,
    /// It has been said that nothing is expanded.
    expanded: bool,
    complaints: &'t mut Vec<Complaint>,
    /// Where a quoted piece began that went over several lines.
    several: Option<Place>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        self.here = match c {
            '\n' => Place { line: self.here.line + 1, column: 1 },
            _ => Place { column: self.here.column + 1, ..self.here },
        };
        Some(c)
    }

    /// A backslash and a newline, which are nothing.
    fn skip_continuation(&mut self) -> bool {
        let found = self.rest.starts_with("\\\n");
        if found {
            self.next();
            self.next();
        }
        found
    }

    fn complain(&mut self, at: Place, what: impl Into<String>) {
        self.complaints.push((Some(at), what.into()));
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    /// To where an assignment can begin; `false` at the end.
    fn skip_to_word(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some('#') => self.skip_line(),
                Some(' ' | '\t' | '\n' | ';') => drop(self.next()),
                Some(_) if self.skip_continuation() => {}
                Some(_) => return true,
            }
        }
    }

    fn assignment(&mut self) -> Option<Assignment> {
        let at = self.here;
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
            name.push(c);
            self.next();
            while self.skip_continuation() {}
        }
        if !is_name(&name) || self.peek() != Some('=') {
            self.no_assignment(at, &name);
            self.skip_line();
            return None;
        }
        self.next();
        while self.skip_continuation() {}
        let begin = self.here;
        self.value.clear();
        self.places.clear();
        self.expanded = false;
        let before = self.complaints.len();
        self.value();
        if self.complaints.len() > before {
            return None;
        }
        let text = Zeroizing::new(String::from(self.value.as_str()));
        let value = Value { text, places: core::mem::take(&mut self.places), at: begin };
        Some(Assignment { name, at, value })
    }

    /// What stands there may be a piece of a password: it is not repeated.
    fn no_assignment(&mut self, at: Place, name: &str) {
        let blanks_before_equals =
            is_name(name) && self.rest.trim_start_matches([' ', '\t']).starts_with('=');
        match self.peek() {
            Some(' ' | '\t') if blanks_before_equals => {
                let what = format!("expected '=' right behind {name}: sh has no blanks around it");
                self.complain(self.here, what);
            }
            Some('\r') => self.carriage_return(),
            _ => self.complain(at, "expected NAME=\"VALUE\" or a comment: nothing is run here"),
        }
    }

    fn carriage_return(&mut self) {
        self.complain(
            self.here,
            "expected a newline alone at the end of a line, no carriage return before it",
        );
    }

    fn take(&mut self, c: char, at: Place) {
        self.value.push(c);
        self.places.push(at);
    }

    fn value(&mut self) {
        loop {
            let at = self.here;
            match self.peek() {
                None | Some(' ' | '\t' | '\n' | ';') => return,
                Some(_) if self.skip_continuation() => {}
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some(c) => self.take(c, at),
                        None => return self.complain(at, "expected a character behind the backslash"),
                    }
                }
                Some('\'') => self.quoted('\''),
                Some('"') => self.quoted('"'),
                Some(c @ ('$' | '`')) => {
                    self.expansion(at, c);
                    self.next();
                }
                Some('~') if self.value.is_empty() => {
                    self.complain(at, "expected no '~' that sh would expand: put it in quotes");
                    self.next();
                }
                Some(c @ ('&' | '|' | '<' | '>' | '(' | ')')) => {
                    self.complain(at, format!("expected quotes around '{c}': sh would not take it as it is"));
                    return self.skip_line();
                }
                Some('\r') => {
                    self.carriage_return();
                    return self.skip_line();
                }
                Some(_) => self.plain(at),
            }
        }
    }

    fn plain(&mut self, at: Place) {
        match self.next() {
            Some(c) if c.is_control() && !matches!(c, '\t' | '\n') => {
                self.complain(at, "expected text, not a control character");
            }
            Some(c) => self.take(c, at),
            None => {}
        }
    }

    /// A backquote has a second one; once for each value will do.
    fn expansion(&mut self, at: Place, c: char) {
        if core::mem::replace(&mut self.expanded, true) {
            return;
        }
        self.complain(
            at,
            format!("expected no '{c}': nothing is expanded here; write \\{c} or use single quotes"),
        );
    }

    fn quoted(&mut self, quote: char) {
        let opened = self.here;
        self.next();
        loop {
            let at = self.here;
            match self.peek() {
                None => return self.not_closed(opened, quote),
                Some(c) if c == quote => {
                    self.next();
                    if at.line > opened.line {
                        self.several.get_or_insert(opened);
                    }
                    return;
                }
                Some('\\') if quote == '"' => {
                    if self.skip_continuation() {
                        continue;
                    }
                    self.next();
                    match self.peek().filter(|c| matches!(c, '$' | '`' | '"' | '\\')) {
                        Some(c) => {
                            self.next();
                            self.take(c, at);
                        }
                        None => self.take('\\', at),
                    }
                }
                Some(c @ ('$' | '`')) if quote == '"' => {
                    self.expansion(at, c);
                    self.next();
                }
                Some(_) => self.plain(at),
            }
        }
    }

    /// The one that is missing is most often an earlier one.
    fn not_closed(&mut self, opened: Place, quote: char) {
        let earlier = match self.several {
            Some(at) => format!("; the one of line {} goes over several lines", at.line),
            None => String::new(),
        };
        self.complain(
            opened,
            format!("expected {quote} that closes this one before the end of the file{earlier}"),
        );
    }
}

/// A variable of sh, or several with dots between them, as a sysctl.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.split('.').all(|part| !part.is_empty())
}
