//! An interface that leaves, and who gets its index.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, addr, name};
use compat::net::if_::{IfMsghdr, IfReq, LinkState};
use compat::net::route::RTM_IFINFO;
use compat::sys::ctlsock::Request;
use compat::sys::sockio::{SIOCGIFINDEX, SIOCIFCREATE2, SIOCIFDESTROY};
use netisrd::net::rtsock::Heard;
use zerocopy::FromBytes;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

#[test]
fn an_interface_that_leaves_takes_its_neighbours_along() {
    let mut lab = Lab::new(3);
    let a = lab.machine(2, 2, 0);
    lab.world.run_for(5 * SEC);
    let mut c = lab.client();
    assert!(lab.answers(&mut c, MAC, [10, 0, 0, 2]));
    let reply = lab.ok(a, Request::ioctl(SIOCGIFINDEX, &IfReq::new(name("em2")))).arg;
    let index = u16::from_ne_bytes([reply[16], reply[17]]);
    lab.world.detach(a, index);
    lab.world.run_for(SEC / 100);
    // Indexes go round, and somebody gets its index.
    let carp7 = IfReq::new(name("carp7"));
    for _ in 0..253 {
        lab.ok(a, Request::ioctl(SIOCIFCREATE2, &carp7));
        lab.ok(a, Request::ioctl(SIOCIFDESTROY, &carp7));
    }
    let dev = lab.lan.attach(name("em9"), MAC, 2);
    assert_eq!(lab.world.attach(a, dev).unwrap(), index);
    lab.ok(a, addr(name("em9"), [10, 0, 0, 2]));
    // What the old one knew, the new one has to ask for.
    c.all_heard();
    c.ping(MAC, [10, 0, 0, 2]);
    lab.world.run_for(SEC / 100);
    let asks = |f: &Vec<u8>| f[12..14] == [8, 6] && f[20..22] == [0, 1] && f[38..42] == [10, 0, 0, 9];
    assert_eq!(c.all_heard().iter().filter(|f| asks(f)).count(), 1);
}

/// Its addresses go one by one, and the next one is nobody's to live on.
#[test]
fn nobody_lives_on_an_interface_that_leaves() {
    let mut lab = Lab::new(4);
    let a = lab.machine(2, 1, 0);
    lab.addr6(a, name("em2"), "2001:db8::2");
    lab.addr6(a, name("carp0"), "2001:db8::1");
    lab.sysctl(a, "net.inet.carp.preempt", 1);
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
    let listener = lab.world.listen(a).unwrap();
    let reply = lab.ok(a, Request::ioctl(SIOCGIFINDEX, &IfReq::new(name("em2")))).arg;
    lab.world.detach(a, u16::from_ne_bytes([reply[16], reply[17]]));
    lab.world.run_for(SEC / 100);
    let mut links = Vec::new();
    while let Some(Heard::Message(m)) = listener.next() {
        if m[3] == RTM_IFINFO {
            let hdr = IfMsghdr::read_from_bytes(&m).unwrap();
            links.push((hdr.ifm_index, hdr.ifm_data.ifi_link_state));
        }
    }
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!((links[0].1, lab.state(a)), (LinkState::Unknown as u64, 0));
}
