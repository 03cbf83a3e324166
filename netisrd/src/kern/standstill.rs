//! How a machine stands still, for another process to go on in its place, and how it
//! begins there.
//!
//! ```text
//!   netisr0      others          whoever goes on
//!   still  --->  take no frame
//!   does what is left of them
//!   waits        wait            <--- all that it is
//!                                ---> "leave", or nothing: it goes on
//! ```
//! What comes meanwhile waits in the devices' queues, for either.

use crate::dev::Device;
use crate::kern::devctl::{self, Report};
use crate::kern::frozen::{self, FrozenMachine};
use crate::machine::Ctx0;
use crate::net::netisr::{self, Flow, Netmsg};
use compat::qsbr::service_sync;
use compat::sys::msgport::ReplyPort;
use ipnet::IpNet;
use std::sync::mpsc::Receiver;

/// A machine that stood still goes on elsewhere, and ends here without a word.
pub struct Leave;

/// How a machine goes on as another one.
pub struct Thaw {
    /// What that was.
    pub frozen: FrozenMachine,
    /// Its cards, here.
    pub devices: Vec<Device>,
    /// The addresses of them that a host lends.
    pub lent: Vec<(String, IpNet)>,
    /// When it may begin. If that never comes it never does.
    pub go: Receiver<()>,
}

/// Stands still with all others until `leave` says that the machine goes on elsewhere.
/// Whoever would say so may be gone, and then it goes on here.
pub fn freeze(cx: &mut Ctx0<'_>, reply: ReplyPort<(FrozenMachine, Report)>, leave: &Receiver<Leave>) -> Flow {
    cx.m.ports.iter().for_each(|port| port.sendmsg(Netmsg::Still));
    service_sync(cx.n0, ());
    // What they had taken by then.
    if catch_up(cx) == Flow::Halt {
        return Flow::Halt;
    }
    reply.replymsg((frozen::freeze(cx), devctl::read(cx)));
    if leave.recv().is_ok() {
        return netisr::halt(cx.m);
    }
    cx.m.own(cx.n0).lease.stood_still(cx.m.clock().now());
    cx.m.ports.iter().for_each(|port| port.sendmsg(Netmsg::GoOn));
    Flow::Continue
}

/// Builds all, and waits for the word. Only then are frames received.
pub fn thaw(cx: &mut Ctx0<'_>, thaw: Thaw, reply: ReplyPort<Result<Vec<u16>, String>>) -> Flow {
    let Thaw { frozen, devices, lent, go } = thaw;
    let built = frozen::thaw(cx, &frozen, &devices, &lent);
    reply.replymsg(built.clone());
    match (built, go.recv()) {
        (Ok(indexes), Ok(())) => {
            // Who serves the virtual addresses was told meanwhile, and is there before the
            // first frame for him.
            if catch_up(cx) == Flow::Halt {
                return Flow::Halt;
            }
            for (dev, index) in devices.into_iter().zip(indexes) {
                netisr::deal_out(cx, index, dev.rx);
            }
            devctl::configured(cx.m, cx.n0);
            Flow::Continue
        }
        _ => netisr::halt(cx.m),
    }
}

/// Does what waits at netisr0's port.
fn catch_up(cx: &mut Ctx0<'_>) -> Flow {
    while let Some(msg) = cx.m.port0.getport() {
        if netisr::dispatch0(cx.m, cx.n0, cx.cpu, msg) == Flow::Halt {
            return Flow::Halt;
        }
    }
    Flow::Continue
}
