//! The control socket, with another thread in `netisrd`'s place.

use crate::machine::Machine;
use crate::{failure, run_on, success};
use compat::sys::ctlsock::{MAX_PACKET, Reply, Request};
use ifconfig_carp::{Syscalls, UnixSocket, ifconfig, netstat, sysctl};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen, recv, send, socket,
};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread::{JoinHandle, spawn};

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ifconfig-carp-{}-{name}.sock", std::process::id()))
}

/// Accepts one connection and answers each packet; no answer is a hang-up.
fn serve(
    name: &str,
    mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (PathBuf, JoinHandle<()>) {
    let path = path(name);
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&fd, Backlog::new(1).unwrap()).unwrap();
    let thread = spawn(move || {
        let peer = accept4(fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap();
        let mut packet = vec![0; MAX_PACKET];
        loop {
            let got = recv(peer, &mut packet, MsgFlags::empty()).unwrap();
            let reply = if got == 0 { None } else { answer(&packet[..got]) };
            let Some(reply) = reply else { break };
            send(peer, &reply, MsgFlags::MSG_NOSIGNAL).unwrap();
        }
        nix::unistd::close(peer).unwrap();
    });
    (path, thread)
}

fn args(path: &std::path::Path, words: &[&str]) -> Vec<OsString> {
    let mut args = vec![OsString::from("-S"), path.into()];
    args.extend(words.iter().map(OsString::from));
    args
}

#[test]
fn a_command_over_the_socket_does_what_it_does_in_process() {
    let mut machine = Machine::new();
    let (path, thread) = serve("good", move |packet| {
        let request = Request::from_bytes(packet).unwrap();
        Some(machine.call(&request).unwrap().to_bytes())
    });
    let mut sys = UnixSocket::new();
    let line = args(&path, &["carp0", "vhid", "3", "10.0.0.1/24"]);
    assert_eq!(run_on(ifconfig::run, &mut sys, &line), success(""));
    drop(sys);
    thread.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn where_nothing_listens_each_program_says_so() {
    let path = path("none");
    let text = format!("no netisrd is listening on {}", path.display());
    let mut sys = UnixSocket::new();
    let outcome = run_on(ifconfig::run, &mut sys, &args(&path, &["-a"]));
    assert_eq!(outcome, failure(&format!("ifconfig-carp: {text}")));
    let outcome = run_on(sysctl::run, &mut sys, &args(&path, &["a", "b", "c=1"]));
    assert_eq!(outcome, failure(&format!("sysctl-carp: {text}")), "once, not for each word");
    let outcome = run_on(netstat::run, &mut sys, &args(&path, &["-s"]));
    assert_eq!(outcome, failure(&format!("netstat-carp: {text}")));
}

#[test]
fn another_reason_than_nobody_being_there_is_told() {
    let file = path("file");
    let below = file.join("sock");
    std::fs::write(&file, b"").unwrap();
    let outcome = run_on(ifconfig::run, &mut UnixSocket::new(), &args(&below, &["-l"]));
    let text = format!("ifconfig-carp: no netisrd is listening on {} (Not a directory)", below.display());
    assert_eq!(outcome, failure(&text));
    let outcome = run_on(ifconfig::run, &mut UnixSocket::new(), &args(&file, &["-l"]));
    let text = format!("ifconfig-carp: no netisrd is listening on {}", file.display());
    assert_eq!(outcome, failure(&text), "a file that is no socket");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_mistake_is_told_without_a_netisrd() {
    let outcome =
        run_on(ifconfig::run, &mut UnixSocket::new(), &args(&path("none"), &["carp0", "vhid", "256"]));
    assert_eq!(outcome, failure("ifconfig-carp: vhid 256: must be a number from 1 to 255"));
}

#[test]
fn a_hang_up_and_another_protocol_are_errors() {
    let (path, thread) = serve("hangup", |_| None);
    let outcome = run_on(ifconfig::run, &mut UnixSocket::new(), &args(&path, &["-l"]));
    assert_eq!(outcome, failure(&format!("ifconfig-carp: netisrd on {} hung up", path.display())));
    thread.join().unwrap();
    std::fs::remove_file(path).unwrap();

    for (name, reply, reason) in [
        ("noise", b"hello".to_vec(), "Protocol error"),
        (
            "cut",
            Reply { error: None, arg: vec![0; 9], data: vec![] }.to_bytes()[..22].to_vec(),
            "Invalid argument",
        ),
    ] {
        let (path, thread) = serve(name, move |_| Some(reply.clone()));
        let outcome = run_on(ifconfig::run, &mut UnixSocket::new(), &args(&path, &["-l"]));
        let text = format!("what listens on {} speaks another protocol ({reason})", path.display());
        assert_eq!(outcome, failure(&format!("ifconfig-carp: {text}")));
        thread.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
