//! `netstat-carp`: see [`ifconfig_carp::netstat`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ifconfig_carp::run_program(ifconfig_carp::netstat::run)
}
