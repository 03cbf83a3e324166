//! What the machine is to be, as a file says: at the start, and again on HUP and
//! `netisrd reload`.

use super::lent::Lending;
use super::notify::Manager;
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use super::signals::Pipe;
use super::succession::Estate;
use crate::conf::{Cards, Conf, Errors, Report, Service, Was};
use compat::net::if_::IfName;
use mio::Interest;
use signal_hook::consts::SIGHUP;
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;

const HANGUP: usize = 0;
/// What a successor finds it by.
const SUCCESSION: &str = "configuration";

/// A configuration, for all on the main thread who may read it again.
pub type Shared = Rc<RefCell<Configuration>>;

/// The file, and what of it was applied.
pub struct Configuration {
    /// Until it is applied.
    conf: Option<Conf>,
    /// Those of the command line.
    cards: Cards,
    service: Option<Service>,
    manager: Option<Manager>,
    lending: Lending,
    /// `--hz` was given: the file has no say in it.
    fixed_hz: bool,
}

impl Configuration {
    /// To be applied; `cards` are those of the command line, which may have said what
    /// hz is too.
    pub fn new(conf: Option<Conf>, cards: Cards, fixed_hz: bool) -> Shared {
        let (service, manager, lending) = (None, None, Lending::default());
        Rc::new(RefCell::new(Configuration { conf, cards, service, manager, lending, fixed_hz }))
    }

    /// The service manager hears of reloads from now on.
    pub fn telling(&mut self, manager: Manager) {
        self.manager = Some(manager);
    }

    /// What the host lends is read here from now on.
    pub fn lent(&mut self, lending: Lending) {
        self.lending = lending;
    }

    /// Configures the machine, which has its cards and nothing else.
    ///
    /// # Errors
    /// Which line failed.
    pub fn start(&mut self, machine: &Runtime) -> Result<(), Errors> {
        if let Some(conf) = self.conf.take() {
            self.service = Some(Service::start(conf, self.cards.clone(), &mut machine.calls())?);
        }
        Ok(())
    }

    /// The machine is as another process has configured it, by the file as it was
    /// then. What the file says now, if that is something else, is done as by a reload.
    ///
    /// # Errors
    /// The file as it was makes no sense here.
    pub fn follow(&mut self, machine: &Runtime, estate: &mut Estate) -> Result<(), Box<dyn Error>> {
        let was: Option<Was> = estate.take(SUCCESSION)?;
        if let Some(conf) = self.conf.take() {
            let (service, differs) = Service::follow(conf, self.cards.clone(), was)?;
            self.service = Some(service);
            if differs {
                self.reload(machine);
            }
        }
        Ok(())
    }

    /// What [`follow`](Configuration::follow) needs in another process.
    pub(super) fn bequeath(&self, estate: &mut Estate) -> io::Result<()> {
        self.service.as_ref().map_or(Ok(()), |service| estate.put(SUCCESSION, &service.was()))
    }

    /// An interface of the host has come again: what the file says of it and of those
    /// who are to live there is done again. What of it failed.
    pub fn arrived(&self, name: IfName, machine: &Runtime) -> Vec<String> {
        let service = self.service.iter();
        service.flat_map(|service| service.arrived(name, &mut machine.calls())).collect()
    }

    /// Reads the file again, does what has changed in it, and says so in the log.
    pub fn reload(&mut self, machine: &Runtime) -> Report {
        let Some(service) = &mut self.service else {
            return Report::refused(["netisrd was started without a configuration (-f)".into()]);
        };
        self.manager.iter().for_each(Manager::reloading);
        let lent = self.lending.borrow().iter().map(|card| (card.name, card.addrs.clone())).collect();
        let mut report = service.reload(&mut machine.calls(), &lent);
        match self.fixed_hz {
            true => report.lines.retain(|line| !line.starts_with("netisrd_hz=")),
            false => machine.set_hz(service.hz()),
        }
        self.manager.iter().for_each(Manager::ready);
        let path = service.path().display().to_string();
        for line in &report.lines {
            match report.ok {
                true => tracing::info!("netisrd: {path}: {line}"),
                false => tracing::error!("netisrd: {line}"),
            }
        }
        if !report.ok {
            tracing::error!("netisrd: {path} is not applied");
        }
        report
    }
}

/// HUP, as a part.
pub struct Hangup {
    pipe: Pipe,
    configuration: Shared,
}

impl Hangup {
    /// Nothing without a configuration, when there is none to read again.
    ///
    /// # Errors
    /// No more signals or descriptors.
    pub fn of(configuration: &Shared) -> io::Result<Option<Hangup>> {
        if configuration.borrow().conf.is_none() {
            return Ok(None);
        }
        Ok(Some(Hangup { pipe: Pipe::new(&[SIGHUP])?, configuration: configuration.clone() }))
    }
}

impl Part for Hangup {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.pipe.fd(), HANGUP, Interest::READABLE)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        if self.pipe.arrived()? {
            self.configuration.borrow_mut().reload(turn.machine);
        }
        Ok(Flow::Continue)
    }
}
