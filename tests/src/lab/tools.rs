//! `ifconfig-carp`, `sysctl-carp` and `netstat-carp`, as a person types them.

use super::binary;
use super::proc::Said;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tools, pointed at one machine.
#[derive(Clone, Debug)]
pub struct Tools {
    sock: PathBuf,
}

/// What `netstat-carp -s -p carp` prints. A line that is missing is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Advertisements received over IPv4, good or bad.
    pub ipackets: u64,
    /// And over IPv6.
    pub ipackets6: u64,
    /// Time to live not 255.
    pub badttl: u64,
    /// Shorter than its header.
    pub hdrops: u64,
    /// Wrong checksum.
    pub badsum: u64,
    /// Wrong version.
    pub badver: u64,
    /// Too short.
    pub badlen: u64,
    /// Wrong digest.
    pub badauth: u64,
    /// Unknown vhid.
    pub badvhid: u64,
    /// Bad address list.
    pub badaddrs: u64,
    /// Advertisements sent over IPv4.
    pub opackets: u64,
    /// And over IPv6.
    pub opackets6: u64,
    /// Not sent for want of memory.
    pub onomem: u64,
}

impl Tools {
    /// Tools for the machine at a control socket.
    pub fn at(sock: &Path) -> Tools {
        Tools { sock: sock.to_owned() }
    }

    /// The socket.
    pub fn sock(&self) -> &Path {
        &self.sock
    }

    /// Runs one of the tools with arguments that may have spaces.
    pub fn tool(&self, program: &str, args: &[&str]) -> Said {
        let mut command = Command::new(binary(program));
        command.args(args).env("NETISRD_SOCK", &self.sock);
        Said::by(None, command)
    }

    /// `ifconfig-carp`.
    pub fn ifconfig(&self, words: &str) -> Said {
        self.tool("ifconfig-carp", &words.split_whitespace().collect::<Vec<_>>())
    }

    /// `sysctl-carp`.
    pub fn sysctl(&self, words: &str) -> Said {
        self.tool("sysctl-carp", &words.split_whitespace().collect::<Vec<_>>())
    }

    /// Creates a carp interface and configures it.
    ///
    /// # Panics
    /// If either fails.
    pub fn carp(&self, ifname: &str, words: &str) {
        self.ifconfig(&format!("{ifname} create")).ok();
        self.ifconfig(&format!("{ifname} {words}")).ok();
    }

    /// The state of a carp interface as `ifconfig-carp` prints it, empty if it
    /// prints none.
    pub fn state(&self, ifname: &str) -> String {
        let said = self.ifconfig(ifname);
        let line = said.stdout.lines().find_map(|l| l.strip_prefix("\tcarp: "));
        line.and_then(|l| l.split_whitespace().next()).unwrap_or_default().to_owned()
    }

    /// `netstat-carp -s -p carp`.
    ///
    /// # Panics
    /// If it fails or prints a line that is unknown.
    pub fn stats(&self) -> Stats {
        Stats::parse(&self.tool("netstat-carp", &["-s", "-p", "carp"]).ok())
    }
}

impl Stats {
    fn parse(text: &str) -> Stats {
        let mut stats = Stats::default();
        for line in text.lines().filter(|l| l.starts_with('\t')) {
            let (number, rest) = line.trim_start().split_once(' ').unwrap_or_default();
            let field = stats.field(rest).unwrap_or_else(|| panic!("unknown line of netstat-carp: {line:?}"));
            *field = number.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        }
        stats
    }

    fn field(&mut self, line: &str) -> Option<&mut u64> {
        let is = |words: &str| line.contains(words);
        Some(match () {
            () if is("received (IPv4)") => &mut self.ipackets,
            () if is("received (IPv6)") => &mut self.ipackets6,
            () if is("wrong TTL") => &mut self.badttl,
            () if is("shorter than header") => &mut self.hdrops,
            () if is("bad checksum") => &mut self.badsum,
            () if is("bad version") => &mut self.badver,
            () if is("packet too short") => &mut self.badlen,
            () if is("bad authentication") => &mut self.badauth,
            () if is("bad vhid") => &mut self.badvhid,
            () if is("bad address list") => &mut self.badaddrs,
            () if is("sent (IPv4)") => &mut self.opackets,
            () if is("sent (IPv6)") => &mut self.opackets6,
            () if is("mbuf memory") => &mut self.onomem,
            () => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_netstat_has_its_field() {
        let text = "carp:\n\t1 packet received (IPv4)\n\t2 packets received (IPv6)\n\
            \t\t3 packets discarded for wrong TTL\n\t\t4 packets shorter than header\n\
            \t\t5 discarded for bad checksums\n\t\t6 discarded packets with a bad version\n\
            \t\t7 discarded because packet too short\n\t\t8 discarded for bad authentication\n\
            \t\t9 discarded for bad vhid\n\t\t10 discarded because of a bad address list\n\
            \t11 packets sent (IPv4)\n\t12 packets sent (IPv6)\n\
            \t\t13 send failed due to mbuf memory error\n";
        let all = Stats {
            ipackets: 1,
            ipackets6: 2,
            badttl: 3,
            hdrops: 4,
            badsum: 5,
            badver: 6,
            badlen: 7,
            badauth: 8,
            badvhid: 9,
            badaddrs: 10,
            opackets: 11,
            opackets6: 12,
            onomem: 13,
        };
        assert_eq!(Stats::parse(text), all);
    }
}
