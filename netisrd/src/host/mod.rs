//! The Linux process around the machine: threads, the control socket, signals.

pub mod clock;
pub mod control;
pub mod runtime;
pub mod thread;
