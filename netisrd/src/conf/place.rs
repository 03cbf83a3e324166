//! Where in a file something stands, and what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Lines end with a newline.
    pub line: usize,
    /// In characters.
    pub column: usize,
}

/// What is wrong, and where; without a place, with the whole file.
pub(super) type Complaint = (Option<Place>, String);

/// All that is wrong with a file; or only worth a word.
#[derive(Debug)]
pub struct Errors {
    file: PathBuf,
    complaints: Vec<Complaint>,
}

impl Errors {
    /// In the file's order; those about no place in it are the last.
    pub(super) fn new(file: &Path, mut complaints: Vec<Complaint>) -> Errors {
        complaints.sort_by_key(|(at, _)| (at.is_none(), *at));
        Errors { file: file.to_path_buf(), complaints }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Each as `FILE:LINE:COLUMN: what`, on one line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.complaints.iter().map(|complaint| line(&self.file, complaint))
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Errors {}

fn line(file: &Path, (at, what): &Complaint) -> String {
    let mut line = format!("{}:", file.display());
    if let Some(Place { line: l, column }) = at {
        line += &format!("{l}:{column}:");
    }
    let mut shown = String::with_capacity(line.len() + what.len() + 1);
    for c in line.chars().chain([' ']).chain(what.chars()) {
        // Whatever a file has in it, an error is one line.
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
