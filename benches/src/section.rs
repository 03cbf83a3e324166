//! One measurement in a laboratory of its own, and its figures back.

use crate::figures::Figures;
use crate::lab::{self, Lab, Needs};
use crate::pair::{Ours, Theirs, Timing};
use crate::{bogus, datapath, handover, keepalived, loss, scale, takeover};
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// How [`lab::run`] calls an executable of tests, and so this one.
pub(crate) const IN_A_LABORATORY: &str = "--exact";
/// What a line meant for whoever waits starts with.
const PROGRESS: &str = "bench: ";
/// Set for the processes of a section if there is to be less of everything.
const QUICK: &str = "NETISRD_BENCH_QUICK";

/// Whether this is the process of a section that is to do less.
pub(crate) fn is_quick() -> bool {
    env::var_os(QUICK).is_some()
}

/// Tells whoever waits how far it is.
pub(crate) fn progress(what: &str) {
    println!("{PROGRESS}{what}");
}

/// What can be measured in a laboratory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// The master dies, advertisements each second.
    Takeover,
    /// The same, less than a second apart.
    TakeoverFast,
    /// The same with ucarp.
    TakeoverUcarp,
    /// The master goes in order.
    Handover,
    /// The same with ucarp.
    HandoverUcarp,
    /// 255 vhids.
    Scale,
    /// The same with ucarp.
    ScaleUcarp,
    /// What goes through a virtual address that the host serves.
    Datapath,
    /// What a stream to it loses.
    Loss,
    /// The same with keepalived.
    LossKeepalived,
    /// Frames that no peer has sent, with both peers.
    Bogus,
}

impl Section {
    pub(crate) const ALL: [Section; 11] = [
        Section::Takeover,
        Section::TakeoverFast,
        Section::TakeoverUcarp,
        Section::Handover,
        Section::HandoverUcarp,
        Section::Scale,
        Section::ScaleUcarp,
        Section::Datapath,
        Section::Loss,
        Section::LossKeepalived,
        Section::Bogus,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Section::Takeover => "takeover",
            Section::TakeoverFast => "takeover-fast",
            Section::TakeoverUcarp => "takeover-ucarp",
            Section::Handover => "handover",
            Section::HandoverUcarp => "handover-ucarp",
            Section::Scale => "scale",
            Section::ScaleUcarp => "scale-ucarp",
            Section::Datapath => "data-path",
            Section::Loss => "loss",
            Section::LossKeepalived => "loss-keepalived",
            Section::Bogus => "bogus",
        }
    }

    /// The peer that it is about, if it is about one alone.
    fn peer(self) -> Option<&'static str> {
        match self {
            Section::TakeoverUcarp | Section::HandoverUcarp | Section::ScaleUcarp => Some("ucarp"),
            Section::LossKeepalived => Some(keepalived::NAME),
            _ => None,
        }
    }

    fn needs(self) -> Needs {
        match (self.peer(), self) {
            (Some(peer), _) => Needs::namespaces().programs(&[peer]),
            (None, Section::Loss | Section::Bogus) => Needs::namespaces(),
            (None, _) => Needs::namespaces().taps(),
        }
    }

    /// The measurement itself, in its laboratory.
    fn run(self, lab: &Lab, quick: bool) {
        let runs = if quick { 3 } else { 20 };
        match self {
            Section::Takeover => takeover::measure(&mut Ours::new(lab, Timing::SECOND), runs),
            Section::TakeoverFast => takeover::measure(&mut Ours::new(lab, Timing::FAST), runs),
            Section::TakeoverUcarp => takeover::measure(&mut Theirs::new(lab, Timing::SECOND), runs),
            Section::Handover => handover::ours(&mut Ours::new(lab, Timing::SECOND), runs),
            // each of them takes as long as a takeover, and they differ little
            Section::HandoverUcarp => handover::theirs(lab, if quick { 1 } else { 5 }),
            Section::Scale => scale::ours(lab, quick),
            Section::ScaleUcarp => scale::theirs(lab, quick),
            Section::Datapath => datapath::measure(lab, quick),
            Section::Loss => loss::ours(lab, quick),
            Section::LossKeepalived => loss::theirs(lab, quick),
            Section::Bogus => bogus::measure(lab, quick),
        }
    }

    /// Runs it in a process of its own and collects what that says. A peer
    /// that is not installed has no figures.
    pub(crate) fn measure(self, quick: bool, figures: &mut Figures) -> Result<(), String> {
        let name = self.name();
        if let Some(peer) = self.peer().filter(|peer| lab::find_program(peer).is_none()) {
            println!("{name}: not measured, there is no {peer}");
            return Ok(());
        }
        println!("{name}: ...");
        let said = collect(name, &[IN_A_LABORATORY, name], quick, figures);
        let log = said.map_err(|e| format!("{name}: {e}"))?;
        if figures.has(name) { Ok(()) } else { Err(format!("{name}: {log}")) }
    }
}

/// Runs a section's process, which is this program with these arguments, and
/// takes its samples; the last that it said.
pub(crate) fn collect(
    name: &str,
    args: &[&str],
    quick: bool,
    figures: &mut Figures,
) -> Result<String, String> {
    let dir = lab::target_dir().join("bench");
    fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let path = dir.join(format!("{name}.log"));
    let mut log = File::create(&path).map_err(|e| e.to_string())?;
    let mut command = Command::new(env::current_exe().map_err(|e| e.to_string())?);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(log.try_clone().map_err(|e| e.to_string())?);
    if quick {
        command.env(QUICK, "1");
    }
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut last = String::new();
    for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(what) = line.strip_prefix(PROGRESS) {
            println!("{name}: {what}");
        }
        figures.take(name, &line);
        writeln!(log, "{line}").map_err(|e| e.to_string())?;
        last = line;
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(last) } else { Err(format!("{status}; what it said is in {}", path.display())) }
}

/// A section's process, outside of the laboratory and inside: [`lab::run`]
/// goes from the one to the other.
pub(crate) fn child(name: &str) -> ExitCode {
    let Some(section) = Section::ALL.into_iter().find(|s| s.name() == name) else {
        eprintln!("bench: no section {name}");
        return ExitCode::FAILURE;
    };
    let quick = is_quick();
    let work = move || lab::run(section.needs(), |lab| section.run(lab, quick));
    // a laboratory is called as its thread is
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
