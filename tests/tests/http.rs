//! The metrics and the status page, asked over TCP by all sorts of clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use tests::lab::{self, Lab, N1, N2, Needs, Netisrd, PATIENCE, on_tap, virtual_host};

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Where its `--http 0` listens.
fn port(machine: &Netisrd) -> u16 {
    let said = "http: listening on 127.0.0.1:";
    let at = machine.proc.log.wait_line(0, said, PATIENCE, |l| l.contains(said));
    machine.proc.log.lines()[at].rsplit(':').next().unwrap().parse().unwrap()
}

fn stage(body: impl FnOnce(&Lab, Netisrd, u16)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let machine = lab.netisrd("m1").tap("em1@br0").args(&["--http", "0"]).start();
        machine.ifconfig(&format!("em1 {N1}/24")).ok();
        machine.sysctl("net.inet.carp.preempt=1");
        let port = port(&machine);
        body(lab, machine, port);
    });
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes, up to the end.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and its end");
    String::from_utf8(bytes).unwrap()
}

fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = connect(port);
    stream.write_all(request).unwrap();
    rest(stream)
}

/// The body of a page that is there, whose length is the one that was said.
fn get(port: u16, path: &str) -> String {
    let answer = ask(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length.parse(), Ok(body.len()));
    body.to_owned()
}

/// The samples, each of a family that was introduced, none twice.
fn metrics(port: u16) -> BTreeMap<String, f64> {
    let (mut samples, mut family) = (BTreeMap::new(), String::new());
    for line in get(port, "/metrics").lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            assert!(["counter", "gauge"].contains(&kind) && (kind == "counter") == name.ends_with("_total"));
            assert_ne!(family, name);
            family = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(sample.split('{').next().unwrap(), family, "{line}");
            let before = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{line}");
        }
    }
    samples
}

fn carp0(name: &str, label: &str) -> String {
    format!("netisrd_carp_{name}{{interface=\"carp0\",vhid=\"1\",{label}}}")
}

#[test]
fn metrics_tell_a_takeover() {
    stage(|lab, m1, port| {
        let m2 = on_tap(lab, "m2", "em2@br0", N2);
        m2.carp("carp0", &virtual_host(0));
        m2.wait_master("carp0");
        m1.sysctl("net.inet.carp.preempt=0");
        m1.carp("carp0", &virtual_host(100));
        m1.wait_backup("carp0");
        m1.wait_stats("advertisement", |s| s.ipackets > 0);
        let before = metrics(port);
        let states = |m: &BTreeMap<String, f64>| {
            ["INIT", "BACKUP", "MASTER"].map(|s| {
                let label = format!("state=\"{s}\"");
                (m[&carp0("state", &label)], m[&carp0("transitions_total", &label)])
            })
        };
        assert_eq!(states(&before), [(0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]);
        assert_eq!(before[&carp0("advskew", "parent=\"em1\"")], 100.0);
        let peer = carp0("peer_heard_timestamp_seconds", &format!("peer=\"{N2}\""));
        assert!(before[&peer] >= before[&carp0("since_timestamp_seconds", "parent=\"em1\"")]);

        m2.proc.kill();
        m1.wait_master("carp0");
        m1.sysctl("net.inet.carp.demotion=7");
        let after = metrics(port);
        assert_eq!(states(&after), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
        assert_eq!(after["netisrd_carp_demotion"], 7.0);
        assert_eq!(after[&carp0("demoted_advskew", "parent=\"em1\"")], 107.0);
        // The same counters as those of netstat-carp: nobody else sends any more.
        assert_eq!(after["netisrd_carp_received_total{family=\"inet\"}"], m1.stats().ipackets as f64);
        assert!(
            after["netisrd_carp_received_total{family=\"inet\"}"]
                >= before["netisrd_carp_received_total{family=\"inet\"}"]
        );
        assert!(after["netisrd_carp_sent_total{family=\"inet\"}"] > 0.0);
        assert!(after["netisrd_frames_total{fate=\"carp\"}"] >= m1.stats().ipackets as f64);
        assert_eq!(after["netisrd_carp_dropped_total{reason=\"badauth\"}"], 0.0);
    });
}

#[test]
fn the_page_shows_the_interface_its_peer_and_its_day_and_needs_nothing_from_elsewhere() {
    stage(|lab, m1, port| {
        assert!(get(port, "/").contains("None."));
        let m2 = on_tap(lab, "m2", "em2@br0", N2);
        m2.carp("carp0", &virtual_host(0));
        m2.wait_master("carp0");
        m1.sysctl("net.inet.carp.preempt=0");
        m1.carp("carp0", &virtual_host(100));
        m1.wait_backup("carp0");
        m1.wait_stats("advertisement", |s| s.ipackets > 0);
        let page = get(port, "/");
        for what in [
            "<td>carp0 vhid 1</td>",
            "<span class=\"state BACKUP\">BACKUP</span>",
            "<td>started</td>",
            "<td>em1</td>",
            "10.77.0.100/24",
            &format!("<td>{N2}</td>"),
            "<svg role=\"img\"",
            "<title>BACKUP, ",
        ] {
            assert!(page.contains(what), "{what}: {page}");
        }
        let links: Vec<&str> =
            page.split(['"', '(']).filter(|w| w.contains("//") || w.starts_with('/')).collect();
        assert_eq!(links, ["/live.js"]);
        m2.proc.kill();
        m1.wait_master("carp0");
        let page = get(port, "/");
        assert!(page.contains("<span class=\"state MASTER\">MASTER</span>"), "{page}");
        assert!(page.contains("<td>master timed out</td>") && page.contains("<title>MASTER, "), "{page}");
        assert!(get(port, "/live.js").contains("EventSource"));
    });
}

#[test]
fn a_stream_of_events_tells_a_change_at_once() {
    stage(|_, m1, port| {
        let mut stream = connect(port);
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut heard = String::new();
        let mut wait = |what: &str| {
            while !heard.contains(what) {
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).unwrap();
                assert!(n > 0, "the end, and no {what}: {heard}");
                heard.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
            }
        };
        wait("Content-Type: text/event-stream\r\n");
        wait("\r\n\r\ndata: {\"event\":\"snapshot\"");
        m1.carp("carp0", &virtual_host(0));
        wait("data: {\"event\":\"transition\"");
        wait("\"old\":\"INIT\",\"new\":\"MASTER\",\"reason\":\"preempting\"");
        wait("]}\n\ndata: ");
    });
}

#[test]
fn what_is_no_request_for_a_page_gets_the_status_that_says_so() {
    stage(|_, m1, port| {
        m1.carp("carp0", &virtual_host(0));
        m1.wait_master("carp0");
        let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000));
        let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(500));
        for (request, status) in [
            ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found"),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found"),
            ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
            ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405 Method Not Allowed"),
            ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421 Misdirected Request"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", "421 Misdirected Request"),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/3.7\r\nHost: localhost\r\n\r\n", "505 HTTP Version Not Supported"),
            ("\r\n\r\n\0\0\0\r\n\r\n", "400 Bad Request"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "400 Bad Request"),
            (&long, "431 Request Header Fields Too Large"),
            (&many, "431 Request Header Fields Too Large"),
        ] {
            let answer = ask(port, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:.60}: {answer}");
            assert_eq!(answer.contains("\r\nAllow: GET, HEAD\r\n"), status.starts_with("405"));
        }
        // One who only wants to know is told the length, and no more.
        let head = ask(port, b"HEAD /live.js HTTP/1.0\r\n\r\n");
        let length = format!("\r\nContent-Length: {}\r\n\r\n", get(port, "/live.js").len());
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with(&length), "{head}");
        let head = ask(port, b"HEAD /events HTTP/1.0\r\n\r\n");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        // A request in many pieces, and one whose sender has nothing more to say.
        let mut stream = connect(port);
        stream.set_nodelay(true).unwrap();
        GET.as_bytes().iter().for_each(|b| stream.write_all(&[*b]).unwrap());
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(rest(stream).contains("netisrd_info"));
        assert_eq!(m1.state("carp0"), "MASTER");
    });
}

#[test]
fn the_slow_the_silent_and_the_many_are_let_go_and_others_are_served() {
    stage(|_, m1, port| {
        m1.carp("carp0", &virtual_host(0));
        m1.wait_master("carp0");
        // Who sends half of a request, and then nothing, is told so in the end.
        let mut slow = connect(port);
        slow.write_all(&GET.as_bytes()[..20]).unwrap();
        // Streams, as many as there may be, and one more.
        let streams: Vec<TcpStream> = (0..32)
            .map(|_| {
                let mut stream = connect(port);
                stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let n = stream.read(&mut [0; 4096]).unwrap();
                assert!(n > 0);
                stream
            })
            .collect();
        assert!(ask(port, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 503 "));
        assert!(rest(slow).starts_with("HTTP/1.1 408 Request Timeout\r\n"));

        // Whoever says nothing makes room for those who come later.
        let mut silent: Vec<TcpStream> = (0..200).map(|_| connect(port)).collect();
        assert!(get(port, "/metrics").contains("netisrd_info"));
        let first = silent.remove(0);
        let end = (&first).read(&mut [0; 16]);
        assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.raw_os_error() == Some(104)), "it is let go");
        // Those who have asked and do not read are in nobody's way either.
        let deaf: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = connect(port);
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                stream
            })
            .collect();
        // All places are theirs, and there is one for who asks.
        assert!(get(port, "/metrics").contains("netisrd_info"));
        drop((streams, silent, deaf));
        assert!(get(port, "/metrics").contains("netisrd_info"));
        let sent = m1.stats().opackets;
        m1.wait_stats("advertisement", |s| s.opackets > sent);
        assert_eq!(m1.state("carp0"), "MASTER");
    });
}

#[test]
fn clients_use_addresses_or_names_of_the_host_or_those_that_were_given() {
    lab::run(Needs::namespaces(), |lab| {
        let machine = lab.netisrd("m1").args(&["--http", "0", "--http-name", "status.example"]).start();
        let (port, own) = (port(&machine), nix::unistd::gethostname().unwrap().into_string().unwrap());
        let local = format!("127.0.0.1:{port}");
        for (host, served) in
            [(&*local, true), ("status.example", true), (&*own, true), ("other.example", false)]
        {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(ask(port, request.as_bytes()).starts_with("HTTP/1.1 200 "), served, "{host}");
        }
    });
}

#[test]
fn an_address_that_others_reach_is_warned_of_and_one_that_is_taken_is_an_error() {
    stage(|lab, m1, port| {
        let m2 = lab.netisrd("m2").args(&["--http", "0.0.0.0:0"]).spawn();
        m2.wait_ready();
        let warned = |m: &Netisrd| m.proc.log.lines().iter().any(|l| l.contains("WARN http: 0.0.0.0:"));
        assert!(warned(&m2) && !m1.proc.log.lines().iter().any(|l| l.contains("WARN")));
        let m3 = lab.netisrd("m3").args(&["--http", &port.to_string()]).spawn();
        assert_eq!(m3.wait_exit().code(), Some(1));
        let said = m3.proc.log.lines();
        assert!(
            said.iter().any(|l| l.starts_with(&format!("netisrd: http 127.0.0.1:{port}: Address"))),
            "{said:?}"
        );
    });
}
