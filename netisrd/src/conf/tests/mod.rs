//! Tests of configurations: their syntax, their sense, and what they do to
//! machines in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod absent;
mod elections;
mod keys;
mod pairs;
mod random;
mod reload;
mod rig;
mod syntax;
mod warnings;

use super::{Cards, Conf};
use std::path::Path;

/// What is wrong with a file that has this in it, without the file's name.
fn wrong(text: &str) -> Vec<String> {
    match Conf::parse(Path::new("f"), text, &Cards::default(), &|_| Ok(Vec::new())) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.lines().map(|l| l.strip_prefix("f:").expect("the file").to_owned()).collect(),
    }
}
