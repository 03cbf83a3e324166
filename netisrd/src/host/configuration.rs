//! What the machine is to be, as a file says: at the start, and again on HUP and
//! `netisrd reload`.
//!
//! ```text
//!   somebody asks --> a thread: reads the file, tries it --> its steps, on the machine
//!                     meanwhile all goes on                  --> whoever has asked
//! ```

use super::lent::Lending;
use super::notify::Manager;
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use super::signals::Pipe;
use super::succession::Estate;
use crate::conf::{Cards, Conf, Errors, Rehearsal, Report, Service, Was};
use compat::net::if_::IfName;
use mio::{Interest, Waker};
use signal_hook::consts::SIGHUP;
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

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
    /// Somebody wants the file read again: of these clients, who is to be answered.
    asked: Option<Vec<usize>>,
    /// For those clients it is being read.
    reading: Option<(Receiver<Rehearsed>, Vec<usize>)>,
    /// Answers that wait for their clients.
    answers: Vec<(usize, Report)>,
}

type Rehearsed = Result<Conf, Errors>;

impl Configuration {
    /// To be applied; `cards` are those of the command line, which may have said what
    /// hz is too.
    pub fn new(conf: Option<Conf>, cards: Cards, fixed_hz: bool) -> Shared {
        Rc::new(RefCell::new(Configuration {
            conf,
            cards,
            service: None,
            manager: None,
            lending: Lending::default(),
            fixed_hz,
            asked: None,
            reading: None,
            answers: Vec::new(),
        }))
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
    /// It is not told.
    pub fn follow(&mut self, estate: &mut Estate) -> Result<(), Box<dyn Error>> {
        let was: Option<Was> = estate.take(SUCCESSION)?;
        if let Some(conf) = self.conf.take() {
            let (service, differs) = Service::follow(conf, self.cards.clone(), was);
            self.service = Some(service);
            if differs {
                self.asked = Some(Vec::new());
            }
        }
        Ok(())
    }

    /// What [`follow`](Configuration::follow) needs in another process.
    pub(super) fn bequeath(&self, estate: &mut Estate) -> io::Result<()> {
        self.service.as_ref().map_or(Ok(()), |service| estate.put(SUCCESSION, &service.was()))
    }

    /// An interface of the host has come: what the file says of it and of those who are
    /// to live there is done. What of it failed.
    pub fn arrived(&mut self, name: IfName, machine: &Runtime) -> Vec<String> {
        let service = self.service.iter_mut();
        service.flat_map(|service| service.arrived(name, &mut machine.calls())).collect()
    }

    /// The file is to be read again, and what has changed in it to be done; `client` is
    /// to be answered.
    ///
    /// # Errors
    /// There is no file: the answer.
    pub(super) fn ask(&mut self, client: Option<usize>) -> Result<(), Report> {
        if self.service.is_none() {
            return Err(Report::refused(["netisrd was started without a configuration (-f)".into()]));
        }
        self.asked.get_or_insert_default().extend(client);
        Ok(())
    }

    /// Answers that there are.
    pub(super) fn answers(&mut self) -> Vec<(usize, Report)> {
        core::mem::take(&mut self.answers)
    }

    /// Does what can be done without waiting.
    fn serve(&mut self, machine: &Runtime, waker: &Arc<Waker>) {
        if let Some((rehearsed, clients)) = self.reading.take() {
            match rehearsed.try_recv() {
                Err(TryRecvError::Empty) => self.reading = Some((rehearsed, clients)),
                Ok(rehearsed) => self.reload(rehearsed, &clients, machine),
                Err(TryRecvError::Disconnected) => {
                    self.tell(Report::refused(["the thread that tried it has panicked".into()]), &clients);
                }
            }
        }
        // What comes meanwhile is read again: it may be another file by now.
        if self.reading.is_none()
            && let Some(clients) = self.asked.take()
            && let Some(service) = &self.service
        {
            self.manager.iter().for_each(Manager::reloading);
            let lent = self.lending.borrow().iter().map(|card| (card.name, card.addrs.clone())).collect();
            match rehearse(service.rehearsal(&mut machine.calls(), &lent), waker.clone()) {
                Ok(rehearsed) => self.reading = Some((rehearsed, clients)),
                Err(e) => self.tell(Report::refused([e.to_string()]), &clients),
            }
        }
    }

    /// Does what has changed in the file.
    fn reload(&mut self, rehearsed: Rehearsed, clients: &[usize], machine: &Runtime) {
        let Some(service) = &mut self.service else { return };
        let mut report = service.reload(rehearsed, &mut machine.calls());
        match self.fixed_hz {
            true => report.lines.retain(|line| !line.starts_with("netisrd_hz=")),
            false => machine.set_hz(service.hz()),
        }
        self.tell(report, clients);
    }

    /// What came of it: to the log, the service manager, and whoever has asked.
    fn tell(&mut self, report: Report, clients: &[usize]) {
        self.manager.iter().for_each(Manager::ready);
        let path = self.service.as_ref().map(|s| s.path().display().to_string()).unwrap_or_default();
        for line in &report.lines {
            match report.ok {
                true => tracing::info!("netisrd: {path}: {line}"),
                false => tracing::error!("netisrd: {line}"),
            }
        }
        if !report.ok {
            tracing::error!("netisrd: {path} is not applied");
        }
        self.answers.extend(clients.iter().map(|client| (*client, report.clone())));
    }
}

/// On a thread of its own: with hundreds of virtual hosts it takes longer than the
/// addresses of a MASTER live.
fn rehearse(rehearsal: Rehearsal, waker: Arc<Waker>) -> io::Result<Receiver<Rehearsed>> {
    let (done, rehearsed) = channel();
    thread::Builder::new().name("rehearsal".into()).spawn(move || {
        // Dropped in the opposite order, whatever becomes of it.
        let (_wakes, done) = (Wakes(waker), done);
        // Whoever would hear it has ended.
        let _ = done.send(rehearsal.run());
    })?;
    Ok(rehearsed)
}

/// Calls the main thread at its end.
struct Wakes(Arc<Waker>);

impl Drop for Wakes {
    fn drop(&mut self) {
        // A poll that cannot be woken has ended.
        let _ = self.0.wake();
    }
}

/// HUP, and what has been asked for, as a part: before those who ask.
pub struct Reloads {
    pipe: Pipe,
    configuration: Shared,
}

impl Reloads {
    /// Nothing without a configuration, when there is none to read again.
    ///
    /// # Errors
    /// No more signals or descriptors.
    pub fn of(configuration: &Shared) -> io::Result<Option<Reloads>> {
        if configuration.borrow().conf.is_none() {
            return Ok(None);
        }
        Ok(Some(Reloads { pipe: Pipe::new(&[SIGHUP])?, configuration: configuration.clone() }))
    }
}

impl Part for Reloads {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.pipe.fd(), HANGUP, Interest::READABLE)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let mut configuration = self.configuration.borrow_mut();
        if self.pipe.arrived()? {
            // There is a file, or there were no part.
            let _ = configuration.ask(None);
        }
        configuration.serve(turn.machine, &turn.desk.waker());
        Ok(Flow::Continue)
    }
}
