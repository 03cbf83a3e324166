#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::dev::testns::{
    self, BROADCAST, CARP_GROUP, PATIENCE, PEER, arp, error_of, frames_until, in_namespace, ip, ipv4, ipv6,
    rx, tagged, without_rights,
};
use crate::dev::{Fanout, Processors, VNET_HDR_LEN};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::sockopt::{RcvBuf, Timestamping};
use nix::sys::socket::{TimestampingFlag, recv, setsockopt};
use nix::unistd::Pid;
use pcap::Linktype;
use std::time::Instant;

const US: [u8; 6] = [0x02, 1, 2, 3, 4, 5];
const OTHER: [u8; 6] = [0x02, 9, 9, 9, 9, 9];
const VIRTUAL_MAC: [u8; 6] = testns::VIRTUAL;
const ND_GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Frames that a card with the address `us` hears, and those that it does not.
fn wanted(us: [u8; 6]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut yes = vec![
        arp(BROADCAST, PEER, 1),
        arp(us, PEER, 1),
        ipv4(CARP_GROUP, PEER, 112, 1),
        ipv4(us, PEER, 112, 1),
        ipv6([0x33, 0x33, 0, 0, 0, 0x12], PEER, 112, 0x21),
        ipv6(us, PEER, 112, 0x21),
        ipv4(VIRTUAL_MAC, PEER, 1, 1),
        ipv4([0, 0, 0x5e, 0, 1, 0xff], PEER, 6, 1),
        ipv6(VIRTUAL_MAC, PEER, 58, 128),
        arp(VIRTUAL_MAC, PEER, 1),
    ];
    yes.extend((133..=137).map(|kind| ipv6(ND_GROUP, PEER, 58, kind)));
    let mut no = vec![
        arp(OTHER, PEER, 1),
        ipv4(OTHER, PEER, 112, 1),
        ipv4(BROADCAST, PEER, 17, 1),
        ipv4(CARP_GROUP, PEER, 2, 1),
        ipv4(us, PEER, 6, 1),
        ipv6(us, PEER, 58, 128),
        ipv6(ND_GROUP, PEER, 58, 132),
        ipv6(ND_GROUP, PEER, 58, 138),
        ipv6(OTHER, PEER, 58, 135),
        ipv6(us, PEER, 6, 135),
        ipv4([0, 0, 0x5e, 0, 2, 7], PEER, 1, 1),
        ipv4([0, 0, 0x5e, 1, 1, 7], PEER, 1, 1),
    ];
    no.extend(yes.iter().map(|frame| tagged(frame)));
    (yes, no)
}

fn by_flow(count: usize) -> Queues {
    Queues { count, fanout: Some(Fanout::Hash) }
}

fn open_none(name: &str) -> io::Result<Device> {
    open(&Existing { name: name.to_owned(), path: DataPath::None }, by_flow(1))
}

#[test]
fn the_filter_passes_what_carp_needs_and_nothing_else() {
    let program = Capture::dead(Linktype::ETHERNET).unwrap().compile(&filter(US, false), true).unwrap();
    let (yes, no) = wanted(US);
    yes.iter().for_each(|f| assert!(program.filter(f), "not passed: {f:02x?}"));
    no.iter().for_each(|f| assert!(!program.filter(f), "passed: {f:02x?}"));
}

/// v0, the host's, with its peer v1.
fn veth() {
    ip("link add v0 address 02:01:02:03:04:05 type veth peer v1");
    for v in ["v0", "v1"] {
        // The host's own chatter on the pair would come between.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{v}/disable_ipv6"), "1");
        ip(&format!("link set {v} up"));
    }
}

#[test]
fn an_interface_is_described_as_the_host_has_it() {
    in_namespace(module_path!(), "an_interface_is_described_as_the_host_has_it", || {
        veth();
        ip("link set v0 mtu 1400");
        ip("addr add 192.0.2.1/24 dev v0");
        ip("addr add 198.51.100.1/32 dev v0 label v0:1");
        ip("addr add 192.0.2.2/24 dev v0");
        ip("addr add 203.0.113.1/24 dev v1");
        std::fs::write("/proc/sys/net/ipv6/conf/v0/disable_ipv6", "0").unwrap();
        ip("addr flush dev v0 scope link");
        ip("addr add 2001:db8::1/64 dev v0 nodad");
        let d = open_none("v0").unwrap();
        assert_eq!((d.name.as_str(), d.lladdr, d.mtu, d.rx.len()), ("v0", US, 1400, 1));
        assert!(d.shared_with_host);
        let addrs = ["192.0.2.1/24", "198.51.100.1/32", "192.0.2.2/24", "2001:db8::1/64"];
        assert_eq!(d.addrs, addrs.map(|a| a.parse().unwrap()));
    });
}

#[test]
fn an_interface_that_cannot_be_used_is_refused_in_a_sentence() {
    in_namespace(module_path!(), "an_interface_that_cannot_be_used_is_refused_in_a_sentence", || {
        veth();
        ip("link set lo up");
        ip("link set v0 down");
        for (name, errno, want) in [
            ("em9", Errno::ENODEV, "em9: No such device"),
            ("v0", Errno::ENETDOWN, "v0: Network is down"),
            ("lo", Errno::EAFNOSUPPORT, "lo: not an Ethernet link (ARPHRD 772)"),
            ("a b", Errno::EINVAL, "a b: not a name of an interface (1 to 15 printable bytes)"),
        ] {
            let err = open_none(name).unwrap_err();
            assert_eq!((err.to_string().as_str(), sys::bsd_errno(&err)), (want, errno));
        }
    });
}

#[test]
fn without_privilege_the_error_says_what_is_needed() {
    let prepare = "ip link add v0 type veth peer v1; ip link set v0 up";
    without_rights(prepare, module_path!(), "without_privilege_the_error_says_what_is_needed", || {
        let err = open_none("v0").unwrap_err();
        let want = "v0: Operation not permitted (needs CAP_NET_RAW)";
        assert_eq!((err.to_string().as_str(), sys::bsd_errno(&err)), (want, Errno::EPERM));
    });
}

#[test]
fn what_carp_needs_is_heard_and_nothing_else() {
    in_namespace(module_path!(), "what_carp_needs_is_heard_and_nothing_else", || {
        veth();
        let mut us = open_none("v0").unwrap();
        let peer = open_none("v1").unwrap();
        let (yes, no) = wanted(US);
        let last = arp(BROADCAST, PEER, 99);
        for frame in no.iter().chain(&yes).chain(&no).chain([&last]) {
            peer.tx.transmit(0, frame).unwrap();
        }
        let mut want = yes;
        want.push(last.clone());
        assert_eq!(frames_until(rx(&mut us), &last), want);
    });
}

#[test]
fn a_burst_of_all_virtual_hosts_is_held_and_a_giant_is_not() {
    in_namespace(module_path!(), "a_burst_of_all_virtual_hosts_is_held_and_a_giant_is_not", || {
        veth();
        ip("link set v1 mtu 2000");
        let mut us = open_none("v0").unwrap();
        let peer = open_none("v1").unwrap();
        let mut sent: Vec<_> = (0..=254).map(|n| ipv4(CARP_GROUP, VIRTUAL_MAC, 112, n)).collect();
        let mut giant = ipv4(VIRTUAL_MAC, PEER, 6, 1);
        giant.resize(1515, 0);
        peer.tx.transmit(0, &giant).unwrap();
        giant.pop();
        sent.push(giant);
        sent.iter().for_each(|f| peer.tx.transmit(0, f).unwrap());
        assert_eq!(frames_until(rx(&mut us), &sent[255]), sent);
    });
}

#[test]
fn neither_the_machines_frames_nor_the_hosts_come_back() {
    in_namespace(module_path!(), "neither_the_machines_frames_nor_the_hosts_come_back", || {
        veth();
        let mut us = open_none("v0").unwrap();
        let mut peer = open_none("v1").unwrap();
        let host = packet_socket(link::by_name("v0").unwrap().index).unwrap();
        let (ours, hosts) = (ipv4(CARP_GROUP, VIRTUAL_MAC, 112, 1), arp(BROADCAST, US, 2));
        us.tx.transmit(0, &ours).unwrap();
        send(host.as_raw_fd(), &hosts, MsgFlags::empty()).unwrap();
        assert_eq!(frames_until(rx(&mut peer), &hosts), [ours, hosts]);
        let answer = arp(BROADCAST, PEER, 3);
        peer.tx.transmit(0, &answer).unwrap();
        assert_eq!(frames_until(rx(&mut us), &answer), [answer]);
        assert_eq!(us.tx.set_promisc(true), Ok(()));
        assert_eq!(us.tx.transmit(0, &[0; 1600]), Err(Errno::EMSGSIZE));
        assert_eq!(us.tx.transmit(0, &[0; 3]), Err(Errno::EINVAL));
    });
}

#[test]
fn an_interface_that_goes_down_is_heard_again_when_it_is_up() {
    in_namespace(module_path!(), "an_interface_that_goes_down_is_heard_again_when_it_is_up", || {
        veth();
        let mut us = open_none("v0").unwrap();
        let peer = open_none("v1").unwrap();
        ip("link set v0 down");
        testns::wait_readable(us.rx[0].as_ref(), Instant::now() + PATIENCE);
        assert_eq!(rx(&mut us).receive(8, &mut |_| {}).unwrap(), 0);
        let frame = arp(BROADCAST, PEER, 1);
        assert_eq!(us.tx.transmit(0, &frame), Err(Errno::ENETDOWN));
        let watch = link::Watch::new().unwrap();
        ip("link set v0 up");
        let until = Instant::now() + PATIENCE;
        while !link::by_name("v1").unwrap().passes_frames() {
            assert!(watch.wait(until).unwrap());
        }
        peer.tx.transmit(0, &frame).unwrap();
        assert_eq!(frames_until(rx(&mut us), &frame), std::slice::from_ref(&frame));
        assert_eq!(us.tx.transmit(0, &frame), Ok(()));
    });
}

#[test]
fn a_removed_interface_is_noticed_by_its_event_every_time() {
    in_namespace(module_path!(), "a_removed_interface_is_noticed_by_its_event_every_time", || {
        for round in 0..30 {
            veth();
            let mut us = open_none("v0").unwrap();
            let peer = open_none("v1").unwrap();
            // A frame and the removal may make one event.
            peer.tx.transmit(0, &arp(BROADCAST, PEER, 1)).unwrap();
            let reader = std::thread::spawn(move || {
                let err = error_of(rx(&mut us));
                (us.tx, err)
            });
            ip(if round % 2 == 0 { "link del v0" } else { "link del v1" });
            let (tx, err) = reader.join().unwrap();
            assert_eq!(err.to_string(), "v0: the interface was removed");
            assert_eq!(sys::bsd_errno(&err), Errno::ENXIO);
            assert_eq!(tx.transmit(0, &arp(BROADCAST, US, 1)), Err(Errno::ENXIO));
        }
    });
}

#[test]
fn a_removal_is_noticed_behind_a_frame_and_while_down() {
    in_namespace(module_path!(), "a_removal_is_noticed_behind_a_frame_and_while_down", || {
        veth();
        let mut us = open_none("v0").unwrap();
        let peer = open_none("v1").unwrap();
        peer.tx.transmit(0, &arp(BROADCAST, PEER, 1)).unwrap();
        ip("link del v0");
        assert_eq!(error_of(rx(&mut us)).to_string(), "v0: the interface was removed");

        veth();
        let mut us = open_none("v0").unwrap();
        ip("link set v0 down");
        assert_eq!(rx(&mut us).receive(8, &mut |_| {}).unwrap(), 0);
        ip("link del v0");
        // No event tells of this one, whoever asks hears it.
        let err = rx(&mut us).receive(8, &mut |_| {}).unwrap_err();
        assert_eq!(sys::bsd_errno(&err), Errno::ENXIO);
        assert_eq!(us.tx.transmit(0, &arp(BROADCAST, US, 1)), Err(Errno::ENXIO));
    });
}

/// `v0` on the tap path, and its queues before the one of the protocols.
fn open_tap(queues: usize) -> (Device, Vec<Box<dyn RxQueue>>) {
    let mut device = open(&Existing { name: "v0".to_owned(), path: DataPath::Tap }, by_flow(queues)).unwrap();
    let protocols = device.rx.split_off(queues);
    assert_eq!(protocols.len(), 1);
    (Device { rx: protocols, ..device }, device.rx)
}

/// The same frame, with a header that says that it is finished.
fn offloaded(frame: &[u8]) -> Vec<u8> {
    [&[0; VNET_HDR_LEN], frame].concat()
}

#[test]
fn on_the_tap_path_frames_to_virtual_macs_and_groups_are_heard_and_carp_is_not() {
    let name = "on_the_tap_path_frames_to_virtual_macs_and_groups_are_heard_and_carp_is_not";
    in_namespace(module_path!(), name, || {
        veth();
        let (mut us, mut queues) = open_tap(1);
        let peer = open_none("v1").unwrap();
        let mut giant = ipv4(VIRTUAL_MAC, PEER, 17, 1);
        giant.resize(1514, 0);
        let yes = vec![
            arp(BROADCAST, PEER, 1),
            arp(VIRTUAL_MAC, PEER, 1),
            ipv4(VIRTUAL_MAC, PEER, 6, 1),
            ipv4([0, 0, 0x5e, 0, 1, 0xff], PEER, 112, 1),
            ipv6(VIRTUAL_MAC, PEER, 58, 128),
            ipv4(BROADCAST, PEER, 17, 1),
            ipv4([1, 0, 0x5e, 0, 0, 1], PEER, 2, 1),
            ipv6(ND_GROUP, PEER, 58, 135),
            giant,
        ];
        let mut no = vec![
            arp(US, PEER, 1),
            arp(OTHER, PEER, 1),
            ipv4(US, PEER, 112, 1),
            ipv4(CARP_GROUP, PEER, 112, 1),
            ipv6([0x33, 0x33, 0, 0, 0, 0x12], PEER, 112, 0x21),
            ipv4(US, PEER, 6, 1),
            ipv4([0, 0, 0x5e, 0, 2, 7], PEER, 1, 1),
            ipv4([0, 0, 0x5e, 1, 1, 7], PEER, 1, 1),
        ];
        no.extend(yes.iter().take(8).map(|frame| tagged(frame)));
        // Nor what the host sends there, nor the machine.
        us.tx.transmit(0, &arp(BROADCAST, VIRTUAL_MAC, 5)).unwrap();
        us.tx.offload().unwrap().transmit_offloaded(0, &offloaded(&arp(BROADCAST, US, 6))).unwrap();
        no.iter().chain(&yes).chain(&no).for_each(|f| peer.tx.transmit(0, f).unwrap());
        let last = arp(BROADCAST, PEER, 99);
        peer.tx.transmit(0, &last).unwrap();
        let mut want: Vec<_> = yes.iter().map(|f| offloaded(f)).collect();
        want.push(offloaded(&last));
        assert_eq!(frames_until(queues[0].as_mut(), &offloaded(&last)), want);
        // The protocols are heard as ever.
        assert!(frames_until(rx(&mut us), &last).contains(&ipv4(CARP_GROUP, PEER, 112, 1)));
    });
}

#[test]
fn queues_share_the_frames_and_whoever_drains_takes_them_all() {
    in_namespace(module_path!(), "queues_share_the_frames_and_whoever_drains_takes_them_all", || {
        veth();
        let (us, mut queues) = open_tap(3);
        let peer = open_none("v1").unwrap();
        // As many flows as these.
        let sent: Vec<_> = (0..200).map(|n| ipv4(VIRTUAL_MAC, PEER, 6, n)).collect();
        let mut got = Vec::new();
        sent.iter().take(100).for_each(|f| peer.tx.transmit(0, f).unwrap());
        let mut shares = [0; 3];
        for (queue, share) in queues.iter_mut().zip(&mut shares) {
            *share = queue.receive(1000, &mut |f| got.push(f[VNET_HDR_LEN..].to_vec())).unwrap();
        }
        assert!(shares.iter().filter(|n| **n > 0).count() > 1, "{shares:?}");
        sent.iter().skip(100).for_each(|f| peer.tx.transmit(0, f).unwrap());
        us.tx.offload().unwrap().drain(&mut |f| got.push(f[VNET_HDR_LEN..].to_vec()));
        for queue in &mut queues {
            assert_eq!(queue.receive(1000, &mut |_| {}).unwrap(), 0);
        }
        got.sort();
        let mut want = sent;
        want.sort();
        assert_eq!(got, want);
    });
}

#[test]
fn a_queue_has_the_frames_of_its_processors() {
    in_namespace(module_path!(), "a_queue_has_the_frames_of_its_processors", || {
        veth();
        let tap = Existing { name: "v0".to_owned(), path: DataPath::Tap };
        let us = open(&tap, Queues { count: 2, fanout: Some(Fanout::Cpu) }).unwrap();
        let peer = open_none("v1").unwrap();
        let given = us.tx.descriptors().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        let mut heir = adopt(&tap, us.host_index, given).unwrap();
        drop(us);
        let of = |nth| Some(Processors { nth, of: 2 });
        assert_eq!(heir.rx.iter().map(|q| q.processors()).collect::<Vec<_>>(), [of(0), of(1), None]);
        // A frame comes in where it was sent.
        let free = sched_getaffinity(Pid::from_raw(0)).unwrap();
        for cpu in (0..CpuSet::count()).filter(|cpu| free.is_set(*cpu).unwrap()) {
            let mut here = CpuSet::new();
            here.set(cpu).unwrap();
            sched_setaffinity(Pid::from_raw(0), &here).unwrap();
            (0..20).for_each(|n| peer.tx.transmit(0, &ipv4(VIRTUAL_MAC, PEER, 6, n)).unwrap());
            let got = [0, 1].map(|q| heir.rx[q].receive(100, &mut |_| {}).unwrap());
            assert_eq!(got, if cpu % 2 == 0 { [20, 0] } else { [0, 20] }, "{cpu}");
        }
        sched_setaffinity(Pid::from_raw(0), &free).unwrap();
        let (_us, by_flow) = open_tap(2);
        assert!(by_flow.iter().all(|q| q.processors().is_none()));
    });
}

#[test]
fn a_card_with_a_queue_for_each_netisr_has_dealt_the_flows_out_itself() {
    in_namespace(
        module_path!(),
        "a_card_with_a_queue_for_each_netisr_has_dealt_the_flows_out_itself",
        || {
            for (queues, count, by_processor) in
                [(1, 2, false), (2, 2, true), (3, 2, true), (3, 4, false), (3, 1, false)]
            {
                let has = format!("numrxqueues {queues} numtxqueues {queues}");
                ip(&format!("link add v0 {has} type veth peer name v1 {has}"));
                ip("link set v1 up");
                ip("link set v0 up");
                let tap = Existing { name: "v0".to_owned(), path: DataPath::Tap };
                let us = open(&tap, Queues { count, fanout: None }).unwrap();
                assert_eq!(us.rx[0].processors().is_some(), by_processor, "{queues} for {count}");
                ip("link del v0");
            }
            // One that says nothing of queues.
            ip("link add v0 type bridge");
            ip("link set v0 up");
            let tap = Existing { name: "v0".to_owned(), path: DataPath::Tap };
            assert_eq!(open(&tap, Queues { count: 2, fanout: None }).unwrap().rx[0].processors(), None);
        },
    );
}

#[test]
fn on_the_tap_path_a_netisr_sends_on_the_socket_that_it_hears_from() {
    in_namespace(module_path!(), "on_the_tap_path_a_netisr_sends_on_the_socket_that_it_hears_from", || {
        veth();
        let us = open(&Existing { name: "v0".to_owned(), path: DataPath::Tap }, by_flow(3)).unwrap();
        let fds: Vec<_> = us.rx.iter().map(|queue| queue.poll_fd().unwrap()).collect();
        // The kernel tells a socket of each frame that was sent on it.
        let told = libc::SOF_TIMESTAMPING_TX_SCHED | libc::SOF_TIMESTAMPING_SOFTWARE;
        let told = TimestampingFlag::from_bits_retain(told);
        fds.iter().for_each(|fd| setsockopt(fd, Timestamping, &told).unwrap());
        let is_told = |fd: &BorrowedFd<'_>| {
            recv(fd.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT).is_ok()
        };
        let frame = offloaded(&arp(BROADCAST, US, 1));
        for queue in (0..fds.len()).filter(|queue| us.rx[*queue].is_offloaded()) {
            us.tx.offload().unwrap().transmit_offloaded(queue, &frame).unwrap();
            let by: Vec<usize> = (0..fds.len()).filter(|n| is_told(&fds[*n])).collect();
            assert_eq!(by, [queue]);
        }
    });
}

#[test]
fn what_the_kernel_has_no_room_for_is_counted_once() {
    in_namespace(module_path!(), "what_the_kernel_has_no_room_for_is_counted_once", || {
        veth();
        let (mut us, mut queues) = open_tap(1);
        let peer = open_none("v1").unwrap();
        // The least that there is: a frame or two.
        setsockopt(&queues[0].poll_fd().unwrap(), RcvBuf, &0).unwrap();
        (0..100).for_each(|n| peer.tx.transmit(0, &ipv4(VIRTUAL_MAC, PEER, 6, n)).unwrap());
        let taken = queues[0].receive(1000, &mut |_| {}).unwrap() as u64;
        assert!(taken < 100);
        assert_eq!((us.tx.input_drops(), us.tx.input_drops()), (100 - taken, 0));
        // And of the protocols.
        let sent = 4 * u64::from(RING_FRAMES);
        (0..sent).for_each(|n| peer.tx.transmit(0, &ipv4(CARP_GROUP, PEER, 112, n as u8)).unwrap());
        let mut taken = 0;
        while let n @ 1.. = rx(&mut us).receive(1000, &mut |_| {}).unwrap() as u64 {
            taken += n;
        }
        assert!(taken < sent);
        assert_eq!((us.tx.input_drops(), us.tx.input_drops()), (sent - taken, 0));
    });
}

#[test]
fn on_the_tap_path_whoever_adopts_the_sockets_has_what_waits_there() {
    in_namespace(module_path!(), "on_the_tap_path_whoever_adopts_the_sockets_has_what_waits_there", || {
        veth();
        let us = open(&Existing { name: "v0".to_owned(), path: DataPath::Tap }, by_flow(2)).unwrap();
        let peer = open_none("v1").unwrap();
        let sent: Vec<_> = (0..20).map(|n| ipv4(VIRTUAL_MAC, PEER, 6, n)).collect();
        sent.iter().take(10).for_each(|f| peer.tx.transmit(0, f).unwrap());
        let given = us.tx.descriptors().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        let mut heir = adopt(&Existing::of(&us).unwrap(), us.host_index, given).unwrap();
        drop(us);
        sent.iter().skip(10).for_each(|f| peer.tx.transmit(0, f).unwrap());
        let mut got = Vec::new();
        for queue in heir.rx.iter_mut().filter(|queue| queue.is_offloaded()) {
            queue.receive(100, &mut |f| got.push(f[VNET_HDR_LEN..].to_vec())).unwrap();
        }
        got.sort();
        assert_eq!((got, heir.rx.len()), (sent, 3));
        let err = adopt(&Existing::of(&heir).unwrap(), heir.host_index, Vec::new()).unwrap_err();
        assert_eq!(sys::bsd_errno(&err), Errno::EINVAL);
    });
}

#[test]
fn on_the_tap_path_too_an_interface_may_go_down_and_away() {
    in_namespace(module_path!(), "on_the_tap_path_too_an_interface_may_go_down_and_away", || {
        veth();
        let (us, mut queues) = open_tap(2);
        let peer = open_none("v1").unwrap();
        ip("link set v0 down");
        for queue in &mut queues {
            testns::wait_readable(queue.as_ref(), Instant::now() + PATIENCE);
            assert_eq!(queue.receive(8, &mut |_| {}).unwrap(), 0);
        }
        let frame = arp(BROADCAST, PEER, 1);
        let offload = us.tx.offload().unwrap();
        assert_eq!(offload.transmit_offloaded(0, &offloaded(&frame)), Err(Errno::ENETDOWN));
        let watch = link::Watch::new().unwrap();
        ip("link set v0 up");
        let until = Instant::now() + PATIENCE;
        while !link::by_name("v1").unwrap().passes_frames() {
            assert!(watch.wait(until).unwrap());
        }
        peer.tx.transmit(0, &frame).unwrap();
        let mut got = Vec::new();
        offload.drain(&mut |f| got.push(f.to_vec()));
        assert_eq!(got, [offloaded(&frame)]);
        ip("link del v0");
        for queue in &mut queues {
            assert_eq!(error_of(queue.as_mut()).to_string(), "v0: the interface was removed");
        }
        assert_eq!(offload.transmit_offloaded(0, &offloaded(&frame)), Err(Errno::ENXIO));
    });
}
