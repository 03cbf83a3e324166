//! The addresses and machines that most tests share.

use super::{Host, Lab, Netisrd, Setup};
use std::net::Ipv4Addr;

/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// The first node's own address.
pub const N1: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The second node's own address.
pub const N2: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// A machine on a tap (`em0@br0`) with its own address.
pub fn on_tap(lab: &Lab, name: &str, tap: &str, ip: Ipv4Addr) -> Netisrd {
    let machine = lab.netisrd(name).tap(tap).start();
    let dev = tap.split('@').next().unwrap_or(tap);
    machine.ifconfig(&format!("{dev} {ip}/24")).ok();
    machine
}

/// A machine on a host's `v0`, whose address it shares.
pub fn on_veth(lab: &Lab, host: &Host) -> Netisrd {
    on_host(lab, host, "v0:none").start()
}

/// One that is still to be started, with `-i` of one of its interfaces.
pub fn on_host<'a>(lab: &'a Lab, host: &Host, card: &str) -> Setup<'a> {
    lab.netisrd(&format!("on-{}", host.ns)).netns(&host.ns).mirrored(card)
}

/// A host `a` and a client `c` on the bridge `br0`.
pub fn host_and_client(lab: &Lab) -> (Host, Host) {
    lab.bridge("br0");
    let a = lab.host("a", "br0", &format!("{N1}/24"));
    (a, lab.host("c", "br0", "10.77.0.9/24"))
}

/// What configures vhid 1 with [`VIP`] and the password `secret`.
pub fn virtual_host(advskew: u8) -> String {
    format!("vhid 1 advskew {advskew} pass secret {VIP}/24")
}
