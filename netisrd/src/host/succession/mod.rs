//! How a new netisrd goes on in the place of a running one, without a transition:
//! the same machine at the same moment, in another process.
//!
//! ```text
//!   successor                                  predecessor
//!   "I would take over"  ------------------->  is it one who may? the same format?
//!   opens what is not    <------------------   sockets, taps, locks, its clock
//!   given, gives up its privileges, boots
//!   "stand still"        ------------------->  netisr0 stands still
//!   builds the machine   <-------------------  all that the machine is
//!   "ready"              ------------------->
//!                        <-------------------  "yours"
//!   goes on                                    ends, and removes nothing
//! ```
//! On the connection to the control socket that the successor has made. Until the
//! predecessor has said its last word it can go on itself, and does when the
//! successor fails or takes too long; whoever has not heard that word never
//! begins. So there are never two.

mod channel;
pub mod launch;
pub mod predecessor;
pub mod successor;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What is handed over, and how: changes whenever that does. Unlike ones refuse each
/// other.
pub const FORMAT: u32 = 6;
/// `cmd` of the first request.
const MEET: u32 = 1;
/// And of the second.
const FREEZE: u32 = 2;
/// The machine, in the second estate.
const MACHINE: &str = "machine";
/// When its clock began, in the first.
const EPOCH: &str = "epoch";
/// Whose it is.
const VERSION: &str = "version";

/// Things by name: facts, and descriptors.
#[derive(Default)]
pub struct Estate {
    facts: BTreeMap<String, Value>,
    descriptors: BTreeMap<String, Vec<OwnedFd>>,
}

impl Estate {
    /// A fact.
    ///
    /// # Errors
    /// It is nothing that JSON has.
    pub fn put(&mut self, name: &str, what: &impl Serialize) -> io::Result<()> {
        self.facts.insert(name.to_owned(), serde_json::to_value(what)?);
        Ok(())
    }

    /// A fact, once.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> io::Result<Option<T>> {
        let named = |e| io::Error::other(format!("takeover: {name}: {e}"));
        self.facts.remove(name).map(|fact| serde_json::from_value(fact).map_err(named)).transpose()
    }

    /// Copies of descriptors.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn lend(&mut self, name: &str, all: &[&dyn AsFd]) -> io::Result<()> {
        let copies = all.iter().map(|fd| fd.as_fd().try_clone_to_owned());
        self.descriptors.insert(name.to_owned(), copies.collect::<io::Result<_>>()?);
        Ok(())
    }

    /// Descriptors, once: exactly `N`, if there are any of that name.
    ///
    /// # Errors
    /// Another number of them.
    pub fn descriptors<const N: usize>(&mut self, name: &str) -> io::Result<Option<[OwnedFd; N]>> {
        let wrong = |_| io::Error::other(format!("takeover: {name}: not {N} descriptors"));
        self.descriptors.remove(name).map(|all| all.try_into().map_err(wrong)).transpose()
    }

    /// Descriptors, once, however many.
    pub fn all_descriptors(&mut self, name: &str) -> Vec<OwnedFd> {
        self.descriptors.remove(name).unwrap_or_default()
    }
}

/// What a part of the predecessor hears of it.
pub enum Step<'a> {
    /// A successor is there: what it needs before.
    Met(&'a mut Estate),
    /// The machine stands still: what there is to know of it.
    Frozen(&'a mut Estate),
    /// The successor takes its time, while nobody is served.
    Waits,
    /// The successor, that process, is about to hear that it is all its own.
    Ready(u32),
    /// It has not become so: the machine goes on here.
    Stays,
}
