//! What netisrd and its runner say to each other: a line of JSON each.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// netisrd says.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// Run all programs once.
    Run(Job),
    /// netisrd halts: whatever is still to come has so many milliseconds, all
    /// together.
    Last(u64),
}

/// A transition, as programs are told of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    /// What complaints call it: `1@em0 MASTER`.
    pub(super) of: String,
    /// `argv` after the name.
    pub(super) words: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
}

/// The runner says.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It waits for the first order.
    Ready,
    /// A program has ended with status 0.
    Succeeded,
    /// One has ended otherwise, or could not be started.
    Failed,
    /// The time of one was over.
    TimedOut,
    /// All programs of an order have ended.
    Done,
    /// The order came too late: none was run.
    TooLate,
}

/// One line.
pub(super) fn line(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    Ok(line)
}

/// Lines of a stream, as they come.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes what there is; `false` at the end of the stream.
    pub(super) fn read(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut some = [0; 4096];
        loop {
            match from.read(&mut some) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.bytes.extend_from_slice(&some[..n]);
                    return Ok(true);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The next whole line.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.bytes.iter().position(|b| *b == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

/// As much of `bytes` as `to` takes without waiting.
pub(super) fn flush(bytes: &mut Vec<u8>, to: &mut impl Write) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => drop(bytes.drain(..n)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
