//! A netisr that panics ends the process: a machine that stands still behind
//! an open control socket would keep others from taking over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a process of the real world")]

use compat::net::if_::IfName;
use netisrd::dev::RxQueue;
use netisrd::dev::lan::Lan;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::runtime::Runtime;
use netisrd::machine::Config;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::thread::park;

/// Set in the process that is to end: which receive queue panics.
const QUEUE: &str = "NETISRD_TEST_PANIC_IN";
const SIGABRT: i32 = 6;

/// A receive queue with a bug.
struct Bug;

impl RxQueue for Bug {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive(&mut self, _: usize, _: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        panic!("a bug in a netisr")
    }
}

/// Not a test of its own: the next one starts it.
#[test]
fn a_machine_with_a_bug() {
    let Ok(queue) = std::env::var(QUEUE) else { return };
    let config = Config {
        ncpus: 2,
        clock: Arc::new(MonotonicClock::start()),
        seed: [0; 32],
        hz: 0,
        log: netisrd::machine::trace(),
    };
    let machine = Runtime::start(config).unwrap();
    let mut dev = Lan::new().attach(IfName::new("em0").unwrap(), [2, 0, 0, 0, 0, 2], 2);
    dev.rx[queue.parse::<usize>().unwrap()] = Box::new(Bug);
    // The process may end before it has an answer.
    let _ = machine.attach(dev);
    loop {
        park();
    }
}

#[test]
fn a_netisr_that_panics_ends_the_process_and_says_why() {
    // One queue is netisr0's, the other one netisr1's.
    let ended = ["0", "1"].map(|queue| {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "a_machine_with_a_bug", "--nocapture"]);
        let out = process.env(QUEUE, queue).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.signal(), Some(SIGABRT), "{:?}: {said}", out.status);
        assert!(said.contains("a bug in a netisr"), "{said}");
        [0, 1].map(|k| said.contains(&format!("thread 'netisr {k}'")))
    });
    assert!(ended == [[true, false], [false, true]] || ended == [[false, true], [true, false]], "{ended:?}");
}
