#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::dev::testns::{BROADCAST, PEER, arp, ipv4, rx};
use std::sync::atomic::{AtomicUsize, Ordering};

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

fn card(lan: &Arc<Lan>, n: u8) -> Device {
    lan.attach(name(&format!("em{n}")), [2, 0, 0, 0, 0, n], 1)
}

fn all(queue: &mut dyn RxQueue) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while queue.receive(3, &mut |f| frames.push(f.to_vec())).unwrap() == 3 {}
    frames
}

fn frame(n: u8) -> Vec<u8> {
    arp(BROADCAST, PEER, n)
}

#[test]
fn all_others_hear_a_frame_in_the_order_of_sending() {
    let lan = Lan::new();
    let [mut a, mut b, mut c] = [0, 1, 2].map(|n| card(&lan, n));
    for n in 0..7 {
        if n % 2 == 0 { &a } else { &b }.tx.transmit(0, &frame(n)).unwrap();
    }
    assert_eq!(all(rx(&mut a)), [1, 3, 5].map(frame));
    assert_eq!(all(rx(&mut b)), [0, 2, 4, 6].map(frame));
    assert_eq!(all(rx(&mut c)), [0, 1, 2, 3, 4, 5, 6].map(frame));
    assert_eq!((a.mtu, a.shared_with_host, lan.drops()), (1500, false, 0));
    assert!(a.rx[0].poll_fd().is_none());
    assert_eq!(a.tx.transmit(0, &[0; 1515]), Err(Errno::EMSGSIZE));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let lan = Lan::new();
    let (a, mut b) = (card(&lan, 0), card(&lan, 1));
    for _ in 0..QUEUE_LEN + 3 {
        a.tx.transmit(0, &frame(1)).unwrap();
    }
    assert_eq!(lan.drops(), 3);
    assert_eq!(rx(&mut b).receive(usize::MAX, &mut |_| {}).unwrap(), QUEUE_LEN);
    a.tx.transmit(0, &frame(2)).unwrap();
    assert_eq!(all(rx(&mut b)), [frame(2)]);
    assert_eq!(lan.drops(), 3);
}

#[test]
fn a_waker_is_called_when_an_empty_queue_gets_a_frame_and_when_some_are_left() {
    let lan = Lan::new();
    let (a, mut b) = (card(&lan, 0), card(&lan, 1));
    let woken = Arc::new(AtomicUsize::new(0));
    let waker = {
        let woken = Arc::clone(&woken);
        Arc::new(move || {
            woken.fetch_add(1, Ordering::SeqCst);
        })
    };
    let count = || woken.load(Ordering::SeqCst);
    rx(&mut b).set_waker(waker.clone());
    assert_eq!(count(), 0);
    a.tx.transmit(0, &frame(1)).unwrap();
    a.tx.transmit(0, &frame(2)).unwrap();
    assert_eq!(count(), 1);
    rx(&mut b).receive(1, &mut |_| {}).unwrap();
    assert_eq!(count(), 2, "a frame is left");
    a.tx.transmit(0, &frame(3)).unwrap();
    assert_eq!(count(), 2, "the queue was not empty");
    assert_eq!(all(rx(&mut b)), [frame(2), frame(3)]);
    a.tx.transmit(0, &frame(4)).unwrap();
    assert_eq!(count(), 3);
    rx(&mut b).set_waker(waker);
    assert_eq!(count(), 4, "frames were waiting");
}

#[test]
fn a_waker_and_an_input_may_use_the_cable() {
    let lan = Lan::new();
    let (a, mut b) = (card(&lan, 0), card(&lan, 1));
    let mut c = card(&lan, 2);
    let tx = Arc::clone(&b.tx);
    let from_waker = Arc::clone(&b.tx);
    rx(&mut c).set_waker(Arc::new(move || from_waker.transmit(0, &frame(8)).unwrap()));
    a.tx.transmit(0, &frame(1)).unwrap();
    let n = rx(&mut b).receive(9, &mut |_| tx.transmit(0, &frame(9)).unwrap());
    assert_eq!(n.unwrap(), 1);
    assert_eq!(all(rx(&mut c)), [1, 8, 9].map(frame));
}

#[test]
fn a_cut_link_carries_nothing_either_way() {
    let lan = Lan::new();
    let [mut a, mut b] = [0, 1].map(|n| card(&lan, n));
    let mut twin = lan.attach(name("em1"), [2, 0, 0, 0, 0, 9], 1);
    assert_eq!(lan.set_link(name("em1"), false), 2);
    assert_eq!(lan.set_link(name("em9"), false), 0);
    assert_eq!(b.tx.transmit(0, &frame(1)), Err(Errno::ENETDOWN));
    a.tx.transmit(0, &frame(2)).unwrap();
    assert!(lan.set_port_link(2, true) && !lan.set_port_link(3, true));
    a.tx.transmit(0, &frame(3)).unwrap();
    assert_eq!(lan.set_link(name("em1"), true), 2);
    b.tx.transmit(0, &frame(4)).unwrap();
    assert_eq!(all(rx(&mut a)), [frame(4)]);
    assert!(all(rx(&mut b)).is_empty());
    assert_eq!(all(rx(&mut twin)), [frame(3), frame(4)]);
    assert_eq!(lan.drops(), 0);
}

#[test]
fn observers_see_what_is_sent_and_can_cut_a_link() {
    let lan = Lan::new();
    let [a, mut b, mut c] = [0, 1, 2].map(|n| card(&lan, n));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, weak) = (Arc::clone(&seen), Arc::downgrade(&lan));
    lan.tap(Box::new(move |port, f| {
        log.lock().unwrap().push((port, f.to_vec()));
        weak.upgrade().unwrap().set_link(name("em2"), f != frame(2));
    }));
    a.tx.transmit(0, &frame(1)).unwrap();
    b.tx.transmit(0, &frame(2)).unwrap();
    assert_eq!(c.tx.transmit(0, &frame(3)), Err(Errno::ENETDOWN));
    assert_eq!(*seen.lock().unwrap(), [(0, frame(1)), (1, frame(2))]);
    assert_eq!(all(rx(&mut b)), [frame(1)]);
    assert_eq!(all(rx(&mut c)), [frame(1)]);
}

#[test]
fn a_flow_stays_on_one_queue_and_flows_spread() {
    let lan = Lan::new();
    let a = card(&lan, 0);
    let mut b = lan.attach(name("em1"), PEER, 4);
    for round in 0..2 {
        for n in 0..32 {
            a.tx.transmit(0, &ipv4(PEER, BROADCAST, 6, n)).unwrap();
        }
        let heard: Vec<_> = b.rx.iter_mut().map(|q| all(q.as_mut())).collect();
        assert_eq!(heard.iter().map(Vec::len).sum::<usize>(), 32);
        assert!(heard.iter().all(|h| h.len() > 1), "round {round}: {:?}", heard.iter().map(Vec::len));
        for (n, queue) in heard.iter().enumerate() {
            assert!(queue.iter().all(|f| flow_hash(f) as usize % 4 == n));
        }
    }
    assert_eq!(lan.drops(), 0);
}

#[test]
fn fragments_of_a_packet_stay_together() {
    let mut first = ipv4(PEER, BROADCAST, 17, 1);
    first[20..22].copy_from_slice(&[0x20, 0x00]);
    let mut second = first.clone();
    second[20..22].copy_from_slice(&[0x00, 0x05]);
    second[34..38].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(flow_hash(&first), flow_hash(&second));
    second[20..22].copy_from_slice(&[0x40, 0x00]);
    assert_ne!(flow_hash(&first), flow_hash(&second));
    for n in 0..first.len() {
        let _ = flow_hash(&first[..n]);
    }
}

#[test]
fn a_card_that_is_gone_takes_no_frames_and_no_drops() {
    let lan = Lan::new();
    let (a, b) = (card(&lan, 0), card(&lan, 1));
    let still_sends = Arc::clone(&b.tx);
    drop(b);
    for _ in 0..QUEUE_LEN + 1 {
        a.tx.transmit(0, &frame(1)).unwrap();
    }
    assert_eq!(lan.drops(), 0);
    let mut a = a;
    still_sends.transmit(0, &frame(2)).unwrap();
    assert_eq!(all(rx(&mut a)), [frame(2)]);
    drop((a, still_sends));
    assert_eq!(Arc::strong_count(&lan), 1);
    let c = card(&lan, 2);
    assert!(lan.set_port_link(2, false) && c.tx.transmit(0, &frame(3)) == Err(Errno::ENETDOWN));
}
