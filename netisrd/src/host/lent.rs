//! The addresses that the host lends the machine: those of the interfaces that both
//! use. They come and go at the host's will, and virtual addresses find and lose
//! what backs them, as on a BSD.

use super::cards;
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use super::succession::Step;
use crate::dev::rtnetlink::{RtNetlink, RtWatch};
use compat::net::if_::IfName;
use ipnet::IpNet;
use mio::Interest;
use nix::errno::Errno as Linux;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

const HOST: usize = 0;

/// An interface of both.
pub struct Shared {
    /// Its name in the machine.
    pub name: IfName,
    /// Its index in the machine.
    pub if_index: u16,
    /// And in the host: it keeps it, whatever it is called.
    pub host_index: u32,
    /// What the machine has of the host's addresses there.
    pub addrs: Vec<IpNet>,
}

/// All that there are. Another part knows when one goes or comes.
pub type Lending = Rc<RefCell<Vec<Shared>>>;

/// All of them, as a part.
pub struct Lent {
    rt: RtNetlink,
    watch: RtWatch,
    cards: Lending,
    /// What has changed before there was a watch was not told.
    looked: bool,
}

impl Lent {
    /// Of these interfaces.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn new(cards: Lending) -> io::Result<Lent> {
        Ok(Lent {
            rt: RtNetlink::new().map_err(failed)?,
            watch: RtWatch::new().map_err(failed)?,
            cards,
            looked: false,
        })
    }

    /// Tells the machine what is new, then what is gone: whoever lives on an address
    /// may live on another one of the prefix.
    fn tell(&mut self, machine: &Runtime) -> io::Result<()> {
        let all = match self.rt.addresses() {
            // It goes on changing, and that will be told.
            Err(Linux::EBUSY) => return Ok(()),
            other => other.map_err(failed)?,
        };
        for card in self.cards.borrow_mut().iter_mut() {
            let now: Vec<IpNet> = all.iter().filter(|a| a.index == card.host_index).map(|a| a.net).collect();
            let come = now.iter().filter(|net| !card.addrs.contains(net)).map(|net| (*net, true));
            let gone = card.addrs.iter().filter(|net| !now.contains(net)).map(|net| (*net, false));
            for (net, there) in come.chain(gone) {
                machine.lend(card.if_index, net, there);
            }
            card.addrs = now;
        }
        Ok(())
    }
}

fn failed(e: Linux) -> io::Error {
    io::Error::other(format!("rtnetlink: {}", e.desc()))
}

impl Part for Lent {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.watch.fd(), HOST, Interest::READABLE)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        if turn.ready.contains(&HOST) || !core::mem::replace(&mut self.looked, true) {
            self.watch.drain().map_err(failed)?;
            self.tell(turn.machine)?;
        }
        Ok(Flow::Continue)
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let Step::Frozen(estate) = step else { return Ok(()) };
        let of =
            |card: &Shared| card.addrs.iter().map(|net| (card.name.to_string(), *net)).collect::<Vec<_>>();
        let lent: Vec<(String, IpNet)> = self.cards.borrow().iter().flat_map(of).collect();
        estate.put(cards::LENT, &lent)
    }
}
