//! Where in its file something of a scenario stands, and what is wrong with it.

use super::Name;
use std::fmt::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There.
    At(Range<usize>),
    /// Under these keys; items of arrays are numbers. Of what is not there the
    /// place is that of what it would be in.
    Under(Vec<String>),
}

/// Where something stands, and what is wrong with it.
pub(super) type Complaint = (Place, String);

impl Place {
    /// Of one that knows.
    pub(super) fn of<T>(spanned: &Spanned<T>) -> Place {
        Place::At(spanned.span())
    }

    /// Under these keys.
    pub(super) fn under(keys: &[&str]) -> Place {
        Place::Under(keys.iter().map(|k| (*k).to_owned()).collect())
    }

    /// With one key more.
    pub(super) fn and(&self, key: &str) -> Place {
        match self {
            Place::At(span) => Place::At(span.clone()),
            Place::Under(keys) => Place::Under(keys.iter().cloned().chain([key.to_owned()]).collect()),
        }
    }

    fn start(&self, text: &str) -> usize {
        match self {
            Place::At(span) => span.start,
            Place::Under(keys) => find(text, keys).unwrap_or_default(),
        }
    }
}

/// Where the last of these keys stands that is there.
fn find(text: &str, keys: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (first, rest) = keys.split_first()?;
    let mut here = in_table(document.get_ref(), first)?;
    for key in rest {
        let next = match here.get_ref() {
            DeValue::Table(table) => in_table(table, key),
            DeValue::Array(all) => key.parse::<usize>().ok().and_then(|n| all.get(n)),
            _ => None,
        };
        let Some(next) = next else { break };
        here = next;
    }
    Some(here.span().start)
}

fn in_table<'d, 't>(table: &'d DeTable<'t>, key: &str) -> Option<&'d Spanned<DeValue<'t>>> {
    table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, value)| value)
}

/// What is wrong with a scenario, and where.
#[derive(Debug)]
pub struct Error {
    file: PathBuf,
    /// Line and column, from 1; nothing of a file that cannot be read.
    at: Option<(usize, usize)>,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", printable(&self.text))
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(super) fn new(path: &Path, text: &str, (place, what): Complaint) -> Error {
        let at = Some(line_and_column(text, place.start(text)));
        Error { file: path.to_path_buf(), at, text: what }
    }

    pub(super) fn not_read(path: &Path, e: &std::io::Error) -> Error {
        Error { file: path.to_path_buf(), at: None, text: e.to_string() }
    }

    pub(super) fn no_text(path: &Path, e: &FromUtf8Error) -> Error {
        let before = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let before = String::from_utf8_lossy(before);
        Error::new(path, &before, (Place::At(before.len()..before.len()), "expected text in UTF-8".into()))
    }

    /// Of a file that is no TOML, or another file's.
    pub(super) fn not_parsed(path: &Path, text: &str, e: &toml::de::Error) -> Error {
        let message = e.message().trim();
        let what = match message.strip_prefix("missing field ") {
            Some(field) => format!("expected {field}, which is not there"),
            None if message == "duplicate key" => "expected another key: this one is there already".into(),
            None => message.lines().collect::<Vec<_>>().join(", "),
        };
        Error::new(path, text, (Place::At(e.span().unwrap_or_default()), what))
    }
}

/// Text from a file as it may be shown in a terminal: on one line, and what does
/// not print as its number.
pub(in crate::lab) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            // A `String` takes whatever is written to it.
            _ => drop(write!(shown, "{}", c.escape_debug())),
        }
    }
    shown
}

/// The file that a scenario was read from; that of one that was made is empty.
#[derive(Clone, Debug, Default)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Source {
        Source { path: path.to_path_buf(), text: text.into() }
    }

    /// File and line of a name, before whatever is said of it.
    pub(in crate::lab) fn before(&self, name: &Name) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        let (line, column) = line_and_column(&self.text, name.span().start);
        format!("{}:{line}:{column}: ", self.path.display())
    }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
