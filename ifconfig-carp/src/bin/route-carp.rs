//! `route-carp`: see [`ifconfig_carp::route`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ifconfig_carp::run_program(ifconfig_carp::route::run)
}
