//! Two machines on a LAN, the first of which has a configuration in a file.

use super::super::{Cards, Conf, Configuring, Errors, OfCards, Report, Service};
use crate::dev::lan::Lan;
use crate::lab::model::Advert;
use crate::sim::{MachineId, World};
use compat::net::if_::IfName;
use compat::netinet6::in6_var::{SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID, SIOCDIFADDR_IN6};
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use ifconfig_carp::{CallError, Syscalls};
use ipnet::IpNet;
use libcarp::CarpSoftc;
use libcarp::carpreq::SIOCSVH;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A file of one test.
pub(super) struct File {
    dir: PathBuf,
}

impl File {
    pub(super) fn new(test: &str) -> File {
        let dir = std::env::temp_dir().join(format!("netisrd-conf-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        File { dir }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("netisrd.conf")
    }

    pub(super) fn write(&self, text: &str) {
        self.write_mode(text, 0o600);
    }

    pub(super) fn write_mode(&self, text: &str, mode: u32) {
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The machine's system calls; those that change something are counted, and one
/// of them may be refused.
pub(super) struct Calls<'r> {
    world: &'r mut World,
    id: MachineId,
    pub(super) changes: usize,
    /// Which of the changes.
    pub(super) refuse: Option<usize>,
}

impl Syscalls for Calls<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        if !is_change(request) {
            return Ok(self.world.syscall(self.id, request.clone()));
        }
        self.changes += 1;
        if self.refuse == Some(self.changes) {
            return Ok(Reply::error(Errno::ENOBUFS));
        }
        Ok(self.world.syscall(self.id, request.clone()))
    }
}

impl Configuring for Calls<'_> {
    fn configuring(&mut self, is: bool) {
        self.world.configuring(self.id, is);
    }
}

fn is_change(request: &Request) -> bool {
    let changes = [
        SIOCIFCREATE2,
        SIOCIFDESTROY,
        SIOCSIFFLAGS,
        SIOCAIFADDR,
        SIOCDIFADDR,
        SIOCAIFADDR_VHID,
        SIOCAIFADDR_IN6,
        SIOCDIFADDR_IN6,
        SIOCAIFADDR_IN6_VHID,
        SIOCAIFGROUP,
        SIOCDIFGROUP,
        SIOCSDRVSPEC,
        SIOCSVH,
    ];
    match request.op {
        Op::Sysctl => !request.data.is_empty(),
        _ => changes.contains(&request.cmd),
    }
}

pub(super) const SEC: Duration = Duration::from_secs(1);

/// As if the command line had named it.
pub(super) fn cards() -> Cards {
    Cards { interfaces: Some(vec!["em0".into()]), taps: None }
}

/// What the card has without the file.
pub(super) fn lent(_: IfName) -> Result<Vec<IpNet>, String> {
    Ok(vec!["10.0.0.2/24".parse().unwrap()])
}

/// The machine with the file, and its peer.
pub(super) struct Rig {
    pub(super) file: File,
    pub(super) world: World,
    pub(super) us: MachineId,
    pub(super) peer: MachineId,
    lan: Arc<Lan>,
    wire: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(super) service: Service,
}

impl Rig {
    /// `em0` of the machine with the file is 10.0.0.2, of the peer 10.0.0.3. The
    /// peer is a better BACKUP than none for vhid 1.
    pub(super) fn start(test: &str, text: &str) -> Rig {
        Rig::start_on(test, cards(), text)
    }

    /// The same on more cards, which have not come.
    pub(super) fn start_on(test: &str, cards: Cards, text: &str) -> Rig {
        let (lan, wire) = (Lan::new(), Arc::new(Mutex::new(Vec::new())));
        let w = wire.clone();
        lan.tap(Box::new(move |_, frame| w.lock().unwrap().push(frame.to_vec())));
        let mut world = World::new(1);
        let mut boot = |n: u8| {
            let id = world.boot(1, 0);
            let card = lan.attach(IfName::new("em0").unwrap(), [2, 0, 0, 0, 0, n], 1);
            world.attach(id, card).unwrap();
            command(&mut world, id, &format!("ifconfig em0 10.0.0.{n}/24"));
            id
        };
        let (us, peer) = (boot(2), boot(3));
        command(&mut world, peer, "ifconfig carp0 create");
        command(&mut world, peer, "ifconfig carp0 vhid 1 advskew 200 pass secret 10.0.0.1/24");
        let file = File::new(test);
        file.write(text);
        let conf = Conf::read(&file.path(), &cards, &lent).unwrap_or_else(|e| panic!("{e}"));
        let mut calls = Calls { world: &mut world, id: us, changes: 0, refuse: None };
        let service = Service::start(conf, cards, &mut calls).unwrap_or_else(|e| panic!("{e}"));
        world.run_for(10 * SEC);
        Rig { file, world, us, peer, lan, wire, service }
    }

    /// A card that has not come comes, with an address from the host. What of the file
    /// fails.
    pub(super) fn comes(&mut self, name: &str, net: &str) -> Vec<String> {
        self.comes_refusing(name, net, None)
    }

    pub(super) fn comes_refusing(&mut self, name: &str, net: &str, refuse: Option<usize>) -> Vec<String> {
        let name = IfName::new(name).unwrap();
        let mut card = self.lan.attach(name, [2, 0, 0, 0, 0, 9], 1);
        card.shared_with_host = true;
        card.addrs = vec![net.parse().unwrap()];
        self.world.attach(self.us, card).unwrap();
        let mut calls = Calls { world: &mut self.world, id: self.us, changes: 0, refuse };
        self.service.arrived(name, &mut calls)
    }

    pub(super) fn command(&mut self, line: &str) -> String {
        command(&mut self.world, self.us, line)
    }

    /// The file has this in it from now on; what comes of a reload, and how many
    /// changes that were asked of the machine.
    pub(super) fn reload(&mut self, text: &str) -> (Report, usize) {
        self.reload_refusing(text, None)
    }

    /// Of the file as it is.
    pub(super) fn reload_as_it_is(&mut self) -> Report {
        let mut calls = Calls { world: &mut self.world, id: self.us, changes: 0, refuse: None };
        let rehearsed = self.service.rehearsal(&mut calls, &OfCards::new()).run();
        let report = self.service.reload(rehearsed, &mut calls);
        assert!(report.ok || calls.changes == 0, "{report:?}");
        report
    }

    /// The file as it is, on cards that have these addresses without it.
    pub(super) fn rehearse(&mut self, lent: Result<OfCards, String>) -> Result<Conf, Errors> {
        let mut calls = Calls { world: &mut self.world, id: self.us, changes: 0, refuse: None };
        let mut rehearsal = self.service.rehearsal(&mut calls, &OfCards::new());
        rehearsal.lent = lent;
        rehearsal.run()
    }

    pub(super) fn reload_refusing(&mut self, text: &str, refuse: Option<usize>) -> (Report, usize) {
        self.file.write(text);
        let mut calls = Calls { world: &mut self.world, id: self.us, changes: 0, refuse };
        let rehearsed = self.service.rehearsal(&mut calls, &OfCards::new()).run();
        let report = self.service.reload(rehearsed, &mut calls);
        (report, calls.changes)
    }

    /// What a reload that goes well has done.
    pub(super) fn reloaded(&mut self, text: &str) -> Vec<String> {
        let (report, _) = self.reload(text);
        assert!(report.ok, "{report:?}");
        report.lines
    }

    pub(super) fn state(&mut self, ifname: &str) -> String {
        state(&self.command(&format!("ifconfig {ifname}")))
    }

    pub(super) fn peer_state(&mut self) -> String {
        state(&command(&mut self.world, self.peer, "ifconfig carp0"))
    }

    /// How often the carp interface of that vhid has come to INIT, BACKUP and MASTER.
    pub(super) fn entered(&self, vhid: u8) -> [u64; 3] {
        let (m, n0) = self.world.look(self.us).unwrap();
        let all = m.carp.softcs(n0);
        let is_it = |sc: &&triomphe::Arc<CarpSoftc>| sc.own(n0).vhid.get().is_some_and(|v| v.get() == vhid);
        all.iter().find(is_it).map(|sc| sc.own(n0).history.counts()).unwrap()
    }

    /// The skews of the advertisements since the last call, of that vhid.
    pub(super) fn skews(&mut self, vhid: u8) -> Vec<u8> {
        let frames = std::mem::take(&mut *self.wire.lock().unwrap());
        let adverts = frames.iter().filter_map(|f| Advert::parse(f));
        adverts.filter(|a| a.vhid == vhid).map(|a| a.advskew).collect()
    }

    /// All that can be seen of the machine.
    pub(super) fn dump(&mut self) -> String {
        let shown = self.command("ifconfig -a -k");
        // Which address came first, or which group, is not what is asked here.
        let mut interfaces: Vec<Vec<String>> = Vec::new();
        for line in shown.lines() {
            let mut words: Vec<&str> = line.split(' ').collect();
            if line.starts_with("\tgroups:") {
                words.sort_unstable();
            }
            let line = words.join(" ");
            match (line.starts_with('\t'), interfaces.last_mut()) {
                (true, Some(last)) => last.push(line),
                _ => interfaces.push(vec![line]),
            }
        }
        interfaces.iter_mut().for_each(|lines| lines.sort_unstable());
        interfaces.sort();
        let mut text: String = interfaces.concat().iter().map(|l| format!("{l}\n")).collect();
        for name in ["preempt", "log", "demotion", "arpbalance", "dscp"] {
            text += &self.command(&format!("sysctl net.inet.carp.{name}"));
        }
        text
    }
}

fn state(shown: &str) -> String {
    let line = shown.lines().find_map(|l| l.strip_prefix("\tcarp: "));
    line.and_then(|l| l.split(' ').next()).unwrap_or_default().to_owned()
}

/// A command line of a machine, which must succeed.
pub(super) fn command(world: &mut World, id: MachineId, line: &str) -> String {
    let (status, said) = crate::lab::host::command(world, id, line);
    assert_eq!(status, 0, "{line}: {said}");
    said
}
