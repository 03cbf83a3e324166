//! `sys/kern`: what CARP asks of the kernel, and what programs do.

pub mod carp_kernel;
pub mod devctl;
pub mod frozen;
pub mod lease;
pub mod standstill;
pub mod sys_generic;
pub mod sysctl;
