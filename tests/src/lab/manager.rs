//! A service manager, as netisrd sees one.

use super::{Lab, Netisrd, PATIENCE};
use std::os::unix::net::UnixDatagram;

/// Of one service.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    /// `NOTIFY_SOCKET`
    pub name: String,
}

impl Manager {
    /// Listens in the laboratory's folder.
    pub fn new(lab: &Lab, name: &str) -> Manager {
        let path = lab.dir().join(name);
        Manager::on(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap())
    }

    /// On a socket of that name.
    pub fn on(socket: UnixDatagram, name: &str) -> Manager {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, name: name.to_owned() }
    }

    /// A machine that tells it how it is.
    pub fn start(&self, lab: &Lab, name: &str, env: &[(&str, &str)], args: &[&str]) -> Netisrd {
        let setup = lab.netisrd(name).args(args).env("NOTIFY_SOCKET", &self.name);
        env.iter().fold(setup, |setup, (k, v)| setup.env(k, v)).spawn()
    }

    /// What it is told next.
    ///
    /// # Panics
    /// If that is nothing within [`PATIENCE`].
    pub fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let n = self.socket.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    /// How many messages are there, all of the watchdog.
    pub fn pings_there(&self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let there = std::iter::from_fn(|| self.socket.recv(&mut [0; 1024]).ok()).count();
        self.socket.set_nonblocking(false).unwrap();
        there
    }

    /// Waits for so many more of those.
    pub fn wait_pings(&self, n: usize) {
        (0..n).for_each(|_| assert_eq!(self.next(), "WATCHDOG=1\n"));
    }
}
