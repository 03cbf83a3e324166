//! A netisr that waits for netisr0, without `domsg`, hangs both while netisr0
//! synchronises.

use compat::sys::msgport::{MsgPort, ReplyPort, reply_port};

fn ask(port0: &MsgPort<ReplyPort<()>>) -> Option<()> {
    let (reply, waiting) = reply_port();
    port0.sendmsg(reply);
    waiting.wait()
}

fn main() {}
