//! A machine that runs on threads.

use super::clock::monotonic;
use super::thread::NetisrThread;
use crate::conf::Configuring;
use crate::dev::Device;
use crate::kern::devctl::{Report, Serve};
use crate::kern::frozen::FrozenMachine;
use crate::kern::lease::Word;
use crate::kern::standstill::{Leave, Thaw};
use crate::machine::{Booted, Config, Machine};
use crate::net::if_::Hardware;
use crate::net::netisr::{Cred, Netmsg0};
use crate::net::rtsock::{Listener, Wake};
use compat::net::if_::LinkState;
use compat::net::netisr::{Proc, domsg};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use ifconfig_carp::{CallError, Syscalls};
use ipnet::IpNet;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running machine, for the thread that booted it.
pub struct Runtime {
    machine: Arc<Machine>,
    proc_: Proc,
    threads: RefCell<Vec<JoinHandle<()>>>,
    upkeep: RefCell<Vec<Upkeep>>,
}

/// What the main thread must not put off for long.
pub type Upkeep = Box<dyn FnMut(&Runtime) + Send>;

/// A machine that stands still.
pub struct Standing {
    /// What it is.
    pub machine: FrozenMachine,
    /// What had happened by then, and nobody has asked for.
    pub told: Report,
    /// Dropped, it goes on.
    pub leave: Sender<Leave>,
}

/// A machine that waits for the word to go on as another one.
pub struct Thawing {
    /// Of its cards, in their order.
    pub indexes: Vec<u16>,
    /// Dropped, it never does.
    pub go: Sender<()>,
}

impl Runtime {
    /// Boots and starts every netisr.
    pub fn start(config: Config) -> io::Result<Runtime> {
        Runtime::start_polling(config, None)
    }

    /// The same; a netisr that carries what the host sends looks for the next frame
    /// for `busy_poll` before it sleeps, if frames follow each other that closely.
    pub fn start_polling(config: Config, busy_poll: Option<Duration>) -> io::Result<Runtime> {
        let Booted { machine, seeds, proc_ } = Machine::boot(config);
        let threads = seeds.into_iter().map(|seed| NetisrThread::spawn(machine.clone(), seed, busy_poll));
        let threads = RefCell::new(threads.collect::<io::Result<_>>()?);
        Ok(Runtime { threads, machine, proc_, upkeep: RefCell::default() })
    }

    /// The device becomes an interface; its index. `EEXIST` if there is one of
    /// that name.
    pub fn attach(&self, dev: Device) -> Result<u16, Errno> {
        domsg(&self.proc_, &self.machine.port0, |reply| Netmsg0::Attach(Box::new(dev), reply))
            .unwrap_or(Err(Errno::ENXIO))
    }

    /// The interface with that index is gone.
    pub fn detach(&self, if_index: u16) {
        self.machine.port0.sendmsg(Netmsg0::IfDetach(if_index));
    }

    /// `if_link_state_change`: a card's cable came or went.
    pub fn link_state(&self, if_index: u16, state: LinkState) {
        self.machine.port0.sendmsg(Netmsg0::LinkState(if_index, state));
    }

    /// Something else of a card has changed.
    pub fn hardware(&self, if_index: u16, what: Hardware) {
        self.machine.port0.sendmsg(Netmsg0::Hardware(if_index, what));
    }

    /// The host has an address there that it had not, or has it no more.
    pub fn lend(&self, if_index: u16, net: IpNet, there: bool) {
        self.machine.port0.sendmsg(Netmsg0::Lend(if_index, net, there));
    }

    /// The virtual addresses of a carp interface can be served outside, or not.
    pub fn served(&self, if_index: u16, is: bool) {
        self.machine.port0.sendmsg(Netmsg0::Served(if_index, is));
    }

    /// Whoever serves virtual addresses outside is there; if it serves a MASTER, it says
    /// so again by then.
    pub fn lease(&self, until: Option<Time>) {
        self.machine.port0.sendmsg(Netmsg0::Lease(Word::Here(until)));
    }

    /// netisr0 stores `n`, when it comes to it.
    pub fn alive(&self, at: Arc<AtomicU64>, n: u64) {
        self.machine.port0.sendmsg(Netmsg0::Alive(at, n));
    }

    /// Returns when every netisr has ended the message that it was dispatching:
    /// a change that changes nothing, with its synchronisation.
    pub fn barrier(&self) {
        domsg(&self.proc_, &self.machine.port0, Netmsg0::Barrier);
    }

    /// The machine, for whoever looks at its counters.
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The machine's time.
    pub fn now(&self) -> Time {
        self.machine.clock().now()
    }

    /// Callouts that are armed from now on are rounded to ticks of 1/hz.
    pub fn set_hz(&self, hz: u32) {
        self.machine.set_hz(hz);
    }

    /// `netisr_ncpus`
    pub fn ncpus(&self) -> usize {
        self.machine.ncpus()
    }

    /// One system call.
    pub fn syscall(&self, cred: Cred, req: Request) -> Reply {
        domsg(&self.proc_, &self.machine.port0, |reply| Netmsg0::Syscall(cred, req, reply))
            .unwrap_or_else(|| Reply::error(Errno::ENXIO))
    }

    /// Has `upkeep` called too after each of the process's own system calls: hundreds of
    /// them take seconds.
    pub fn keep_up(&self, upkeep: Upkeep) {
        self.upkeep.borrow_mut().push(upkeep);
    }

    fn kept_up(&self) {
        self.upkeep.borrow_mut().iter_mut().for_each(|upkeep| upkeep(self));
    }

    /// A configuration of one interface begins, or ends: carp interfaces hold no election
    /// in between.
    pub fn configuring(&self, is: bool) {
        domsg(&self.proc_, &self.machine.port0, |reply| Netmsg0::Configuring(is, reply));
    }

    /// System calls of the process itself, which is as good as root.
    pub fn calls(&self) -> impl Configuring + '_ {
        Calls(self)
    }

    /// Listens to the machine's routing messages.
    pub fn listen(&self, wake: Wake) -> Listener {
        self.machine.listeners.listen(wake)
    }

    /// Has `serve` called when a carp interface has changed its state, before that
    /// is heard on the wire.
    pub fn devctl_serve(&self, serve: Serve) {
        self.machine.port0.sendmsg(Netmsg0::DevctlServe(serve));
    }

    /// Has `wake` called when a carp interface, or what it depends on, may have
    /// changed. Once: until [`devctl`](Runtime::devctl) is called.
    pub fn devctl_listen(&self, wake: Wake) {
        self.machine.port0.sendmsg(Netmsg0::DevctlListen(wake));
    }

    /// The transitions since the last time, and all carp interfaces; `None` of
    /// a machine that has halted.
    pub fn devctl(&self) -> Option<Report> {
        domsg(&self.proc_, &self.machine.port0, Netmsg0::DevctlRead)
    }

    /// Every MASTER bows out, and every carp interface goes. What they do can
    /// still be asked for.
    pub fn destroy_all(&self) {
        domsg(&self.proc_, &self.machine.port0, Netmsg0::DestroyAll);
    }

    /// Halts: every MASTER bows out, every thread ends.
    pub fn halt(self) {
        domsg(&self.proc_, &self.machine.port0, Netmsg0::Halt);
        self.join();
    }

    fn join(&self) {
        for t in self.threads.take() {
            // A thread that panicked has ended the process.
            let _ = t.join();
        }
    }

    /// When its clock began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn epoch(&self) -> u64 {
        monotonic() - self.now().0
    }

    /// Has the machine stand still: until that ends it answers nothing. `None` of
    /// one that has halted.
    pub fn freeze(&self) -> Option<Standing> {
        let (leave, left) = channel();
        let frozen = domsg(&self.proc_, &self.machine.port0, |reply| Netmsg0::Freeze(reply, left));
        frozen.map(|(machine, told)| Standing { machine, told, leave })
    }

    /// The machine that stands still ends here, and says nothing. Returns when no
    /// thread of it is left.
    pub fn leave(&self, leave: &Sender<Leave>) {
        // One that has ended needs no word.
        let _ = leave.send(Leave);
        self.join();
    }

    /// The machine, which has nothing yet, becomes another one on these cards.
    ///
    /// # Errors
    /// Why it cannot. It has halted.
    pub fn thaw(
        &self,
        frozen: FrozenMachine,
        devices: Vec<Device>,
        lent: Vec<(String, IpNet)>,
    ) -> io::Result<Thawing> {
        let (go, goes) = channel();
        let thaw = Box::new(Thaw { frozen, devices, lent, go: goes });
        let built = domsg(&self.proc_, &self.machine.port0, |reply| Netmsg0::Thaw(thaw, reply));
        let indexes = built.unwrap_or_else(|| Err("the machine has halted".into()));
        Ok(Thawing { indexes: indexes.map_err(io::Error::other)?, go })
    }
}

struct Calls<'r>(&'r Runtime);

impl Syscalls for Calls<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let reply = self.0.syscall(Cred { privileged: true }, request.clone());
        self.0.kept_up();
        Ok(reply)
    }
}

impl Configuring for Calls<'_> {
    fn configuring(&mut self, is: bool) {
        self.0.configuring(is);
        self.0.kept_up();
    }
}
