//! The rules kept.

use compat::net::netisr::{PortSync, SyncMsg, boot, domsg};
use compat::qsbr::{Netisr0Cell, QsCell, service_sync};
use compat::sys::msgport::MsgPort;

fn main() {
    let (brand, seeds, proc_) = boot(2);
    let mut seeds = seeds.into_iter();
    let (seed0, seed1) = (seeds.next().unwrap(), seeds.next().unwrap());
    let cell = QsCell::new(&brand);
    let own = Netisr0Cell::new(&brand, core::cell::Cell::new(0));
    let (port, port0) = (MsgPort::<SyncMsg>::default(), MsgPort::default());
    let to_netisr0 = port0.clone();
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut n = seed1.claim();
            loop {
                let Some(SyncMsg(reply)) = port.getport() else {
                    cell.load(&n);
                    continue;
                };
                n.quiescent();
                return reply.replymsg(());
            }
        });
        s.spawn(|| {
            let mut n0 = seed0.claim0(Box::new(PortSync::new(vec![port.clone()])));
            let old = cell.swap(&n0, Some(Box::new(1)));
            service_sync(&mut n0, old);
            own.get(&n0).set(*cell.load(&n0).unwrap());
            loop {
                if let Some(reply) = port0.getport() {
                    let reply: compat::sys::msgport::ReplyPort<i32> = reply;
                    return reply.replymsg(own.get(&n0).get());
                }
            }
        });
        assert_eq!(domsg(&proc_, &to_netisr0, |reply| reply), Some(1));
    });
}
