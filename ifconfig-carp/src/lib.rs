//! The commands people type against a running `netisrd`: DragonFly's
//! `ifconfig`, `sysctl`, `netstat` and `route`, as far as CARP needs them.
//!
//! | command | upstream | entry point |
//! |---|---|---|
//! | `ifconfig-carp` | `sbin/ifconfig` | [`ifconfig::run`] |
//! | `sysctl-carp` | `sbin/sysctl` | [`sysctl::run`] |
//! | `netstat-carp` | `usr.bin/netstat` | [`netstat::run`] |
//! | `route-carp` | `sbin/route` | [`route::run`] |
//!
//! An entry point takes the arguments, the machine's system calls and two
//! writers, and returns the exit status. It never opens a socket, so a
//! simulator calls the very code that people run: only the four programs
//! pass a [`UnixSocket`] in.
//!
//! Every error is one line on stderr and status 1; a line that makes no sense
//! at all gets the usage text instead.
#![forbid(unsafe_code)]

mod cli;
mod failure;
pub mod ifconfig;
mod iflist;
mod kernel;
pub mod netstat;
mod printable;
pub mod route;
mod socket;
mod syscalls;
pub mod sysctl;

pub use cli::{Run, run_program};
pub use socket::{UnixSocket, events_path, socket_path};
pub use syscalls::{CallError, Syscalls};
