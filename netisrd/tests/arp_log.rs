//! What strangers can provoke the machine to log is bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP};
use compat::net::ethernet::ETHERTYPE_ARP;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines since the last look.
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_flood_of_claims_to_our_address_is_five_lines_a_second_and_a_count() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut lab = Lab::new(1);
        let a = lab.machine(2, 2, 0);
        lab.world.run_for(10 * SEC);
        assert_eq!((lab.state(a), log.lines()), (2, vec![]));
        let c = lab.client();
        // In turn: "is using my IP address" of both kinds, and a group's MAC.
        let mut flood = |n: u32| {
            for i in 0..n {
                let (sha, ip) = match i % 3 {
                    0 => (c.dev.lladdr, VIP),
                    1 => (c.dev.lladdr, [10, 0, 0, 2]),
                    _ => ([0xff; 6], [10, 0, 0, 9]),
                };
                let head = [0, 1, 8, 0, 6, 4, 0, 1];
                let claim = [&head[..], &sha, &ip, &[0; 6], &ip].concat();
                c.send([0xff; 6], ETHERTYPE_ARP, &claim);
                lab.world.run_for(Duration::from_micros(100));
            }
            lab.world.run_for(2 * SEC);
            log.lines()
        };
        // 3,000 within 0.3 s.
        let mine = |ip| format!("ERROR arp: 02:00:00:00:00:cc is using my IP address {ip}!");
        let group = "ERROR arp: link address is broadcast for IP address 10.0.0.9!".to_owned();
        let all = [mine("10.0.0.1"), mine("10.0.0.2"), group, mine("10.0.0.1"), mine("10.0.0.2")];
        assert_eq!(flood(3000), all);
        // The next second's first line says how many were not.
        let count = "(2995 more complaints about neighbours were not logged)";
        assert_eq!(flood(1), [format!("{} {count}", all[0])]);
        assert_eq!(flood(1), all[..1]);
    });
}
