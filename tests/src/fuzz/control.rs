//! System calls into a machine: packets as they come over the control socket, and
//! structs of the right size.
//!
//! ```text
//!   choice, then again and again:
//!   kind | time | ...
//!     0   length (2), bytes                    a packet
//!     1   which ioctl, which name, bytes, data  an ioctl
//!     2   which sysctl, data                    a sysctl
//! ```

use super::Bytes;
use super::stage::{Stage, scenario};
use compat::net::if_::IfName;
use compat::netinet6::in6_var::{SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID, SIOCDIFADDR_IN6};
use compat::sys::ctlsock::{Op, Request, SYSCTL_IFLIST, SYSCTL_NAMES, SYSCTL_RTTABLE};
use compat::sys::ioccom::{IOC_OUT, parm_len};
use compat::sys::sockio::*;
use libcarp::carpreq::{SIOCGVH, SIOCSVH};
use std::time::Duration;
use zerocopy::IntoBytes;

/// As many as are made of one input.
const CALLS: usize = 64;

const IOCTLS: [u32; 26] = [
    SIOCSIFFLAGS,
    SIOCGIFFLAGS,
    SIOCGIFMETRIC,
    SIOCDIFADDR,
    SIOCAIFADDR,
    SIOCGIFCAP,
    SIOCGIFINDEX,
    SIOCGIFADDR,
    SIOCAIFADDR_VHID,
    SIOCGIFMTU,
    SIOCIFDESTROY,
    SIOCIFCREATE,
    SIOCSDRVSPEC,
    SIOCGDRVSPEC,
    SIOCIFCREATE2,
    SIOCAIFGROUP,
    SIOCGIFGROUP,
    SIOCDIFGROUP,
    SIOCGIFGMEMB,
    SIOCGIFGATTR,
    SIOCSIFGATTR,
    SIOCAIFADDR_IN6,
    SIOCDIFADDR_IN6,
    SIOCAIFADDR_IN6_VHID,
    SIOCSVH,
    SIOCGVH,
];

const NAMES: [&str; 10] = ["em0", "em1", "carp0", "carp1", "carp2", "carp3", "carp", "1@em1", "all", "carp9"];

const SYSCTLS: [&str; 10] = [
    "net.inet.carp.preempt",
    "net.inet.carp.allow",
    "net.inet.carp.log",
    "net.inet.carp.arpbalance",
    "net.inet.carp.setroute",
    "net.inet.carp.demotion",
    "net.inet.carp.stats",
    SYSCTL_NAMES,
    SYSCTL_IFLIST,
    SYSCTL_RTTABLE,
];

/// Makes the calls that the input says.
pub fn run(data: &[u8]) {
    let mut data = Bytes::new(data);
    let mut scenario = scenario(&mut data);
    // More than the reference model follows: what is left is what must be true
    // inside of the machine.
    scenario.machine.values_mut().for_each(|m| m.hz = 100);
    let mut stage = Stage::new(&scenario);
    for _ in 0..CALLS {
        if data.is_empty() {
            break;
        }
        let kind = data.byte() % 3;
        let time = Duration::from_millis(u64::from(data.byte()) * 20);
        let request = match kind {
            0 => packet(&mut data),
            1 => Some(ioctl(&mut data)),
            _ => Some(sysctl(&mut data)),
        };
        if let Some(request) = request {
            call(&mut stage, &request);
        }
        stage.pass(time);
    }
    stage.show();
    stage.finish();
}

/// One that is malformed has an errno, and no more.
fn packet(data: &mut Bytes<'_>) -> Option<Request> {
    let len = data.word();
    Request::from_bytes(data.take(len.into())).ok()
}

fn ioctl(data: &mut Bytes<'_>) -> Request {
    let cmd = *data.pick(&IOCTLS);
    let name: &str = data.pick::<&str>(&NAMES);
    let name = IfName::new(name).expect("a name");
    let mut arg = name.as_bytes().to_vec();
    arg.extend_from_slice(data.chunk());
    arg.resize(parm_len(cmd), 0);
    Request { op: Op::Ioctl, cmd, arg, data: data.chunk().to_vec() }
}

fn sysctl(data: &mut Bytes<'_>) -> Request {
    let name = *data.pick(&SYSCTLS);
    let number = data.byte();
    let name = if name.starts_with("net.route") { format!("{name}.{number}") } else { name.to_owned() };
    Request::sysctl(&name, data.chunk())
}

/// The answer is one that the socket can carry, and an error is nothing else.
fn call(stage: &mut Stage<'_>, request: &Request) {
    let Some(reply) = stage.play.call(0, request) else { return };
    assert!(reply.error.is_none() || (reply.arg.is_empty() && reply.data.is_empty()), "{reply:?}");
    let carried = compat::sys::ctlsock::Reply::from_bytes(&reply.to_bytes());
    assert_eq!(carried.as_ref(), Ok(&reply));
    if request.op == Op::Ioctl && reply.error.is_none() && request.cmd & IOC_OUT != 0 {
        assert_eq!(reply.arg.len(), parm_len(request.cmd), "ioctl {:#x}", request.cmd);
    }
}
