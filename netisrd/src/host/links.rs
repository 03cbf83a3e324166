//! The cables of the machine's cards, as a part.

use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use crate::dev::watch::LinkWatch;
use compat::net::if_::IfName;
use mio::Interest;
use std::io;

const LINK: usize = 0;

/// Tells the machine when one of its cards loses its link or has it again.
pub struct Links(LinkWatch);

impl Links {
    /// Of these cards, with their indexes. How they are is told at once.
    pub fn new(cards: Vec<(IfName, u16)>, machine: &Runtime) -> io::Result<Links> {
        let mut links = Links(LinkWatch::new(cards)?);
        links.tell(machine)?;
        Ok(links)
    }

    fn tell(&mut self, machine: &Runtime) -> io::Result<()> {
        self.0.changes()?.into_iter().for_each(|(if_index, state)| machine.link_state(if_index, state));
        Ok(())
    }
}

impl Part for Links {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.0.poll_fd(), LINK, Interest::READABLE)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        if turn.ready.contains(&LINK) {
            self.tell(turn.machine)?;
        }
        Ok(Flow::Continue)
    }
}
