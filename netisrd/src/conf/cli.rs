//! `netisrd check` and `netisrd reload`: what people type.

use super::{Cards, Conf, DEFAULT, Report, lent_by_host};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{Syscalls, UnixSocket};
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of a report that are sent: what is longer than that nobody reads.
const REPORT_MAX: usize = 64 * 1024;

/// Say what is wrong with a configuration.
#[derive(clap::Args)]
pub struct Check {
    /// The configuration
    #[arg(value_name = "FILE", default_value = DEFAULT)]
    file: PathBuf,
}

/// Have the running netisrd read its configuration again.
#[derive(clap::Args)]
pub struct Reload {
    /// Its control socket
    #[arg(short = 'S', value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Reload {
    /// Of the netisrd of that control socket.
    pub fn of(socket: Option<PathBuf>) -> Reload {
        Reload { socket }
    }
}

/// Each error is a line on stderr, and the status 1.
pub fn check(args: &Check) -> ExitCode {
    match Conf::read(&args.file, &Cards::default(), &lent_by_host).and_then(Conf::suits_host) {
        Ok(conf) => {
            conf.warnings().lines().for_each(|line| eprintln!("netisrd: {line}"));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            errors.lines().for_each(|line| eprintln!("netisrd: {line}"));
            ExitCode::FAILURE
        }
    }
}

/// What was done goes to stdout. If it was not, why is on stderr, and the status
/// 1.
pub fn reload(args: &Reload) -> ExitCode {
    let mut machine = UnixSocket::new();
    if let Some(path) = &args.socket {
        machine.select(path);
    }
    let answer = machine.call(&Request::reload()).map_err(|e| e.to_string());
    let report = match answer.and_then(|reply| Report::from_reply(&reply)) {
        Ok(report) => report,
        Err(what) => Report::refused([what]),
    };
    match report.ok {
        true => {
            report.lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        false => {
            report.lines.iter().for_each(|line| eprintln!("netisrd: {line}"));
            ExitCode::FAILURE
        }
    }
}

impl Report {
    /// As it travels: `arg` is 0 for one that went well, `data` its lines.
    pub fn to_reply(&self) -> Reply {
        let mut text = self.lines.join("\n");
        if text.len() > REPORT_MAX {
            let end = (0..=REPORT_MAX).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
            text.truncate(end);
            text += "...";
        }
        let status = u32::from(!self.ok);
        Reply { error: None, arg: status.to_ne_bytes().to_vec(), data: text.into_bytes() }
    }

    fn from_reply(reply: &Reply) -> Result<Report, String> {
        match reply.error {
            Some(Errno::EPERM) => return Err("permission denied".into()),
            Some(errno) => return Err(errno.to_string()),
            None => {}
        }
        let status =
            <[u8; 4]>::try_from(reply.arg.as_slice()).map_err(|_| "netisrd's answer makes no sense")?;
        let lines = String::from_utf8_lossy(&reply.data).lines().map(str::to_owned).collect();
        Ok(Report { ok: u32::from_ne_bytes(status) == 0, lines })
    }
}
