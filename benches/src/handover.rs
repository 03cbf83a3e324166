//! The master goes in order.

use crate::figures::emit;
use crate::lab::{Lab, Probe};
use crate::pair::{Ours, Pair, Theirs, Timing, change, ms_between, stamp_now};
use crate::section::progress;
use nix::sys::signal::Signal;

/// `carp0 down` and SIGTERM, `runs` times each.
pub(crate) fn ours(pair: &mut Ours<'_>, runs: u32) {
    for run in 1..=runs {
        once(pair, "down", run, |pair| {
            pair.first.as_ref().unwrap().ifconfig("carp0 down").ok();
        });
        pair.first.as_ref().unwrap().ifconfig("carp0 up").ok();
    }
    for run in 1..=runs {
        once(pair, "term", run, |pair| pair.first.as_ref().unwrap().signal(Signal::SIGTERM));
        let gone = pair.first.take().unwrap().wait_exit();
        assert!(gone.success(), "netisrd ended with {gone}");
    }
}

/// One handover of ours: from the command and from the bow-out to the answer.
fn once(pair: &mut Ours<'_>, how: &str, run: u32, go: impl FnOnce(&mut Ours<'_>)) {
    let (pinger, mark) = pair.ready();
    let from = stamp_now();
    go(pair);
    let seen = change(pair.wire(), mark);
    assert!(seen.last.advert().is_some_and(|a| a.is_bow_out()), "no bow-out but {:?}", seen.last);
    pinger.wait_answer();
    let lost = lost(&pinger.probes());
    drop(pinger);
    let (bow_out, command) = (ms_between(seen.last.stamp, seen.answer), ms_between(from, seen.answer));
    emit(&format!("{how}.bow-out"), bow_out);
    emit(&format!("{how}.command"), command);
    emit(&format!("{how}.lost"), lost as f64);
    progress(&format!(
        "{how} {run}: {bow_out:.2} ms from the bow-out, {command:.2} ms from the command to the answer; \
        {lost} requests without one"
    ));
}

/// Requests without an answer, before the last that has one.
fn lost(probes: &[Probe]) -> usize {
    let answered = probes.iter().rposition(|p| p.answered.is_some()).unwrap_or(0);
    probes.iter().take(answered).filter(|p| p.answered.is_none()).count()
}

/// SIGTERM, and SIGUSR2, which makes a ucarp BACKUP.
pub(crate) fn theirs(lab: &Lab, runs: u32) {
    let mut pair = Theirs::new(lab, Timing::SECOND);
    for run in 1..=runs {
        signalled(&mut pair, "term", Signal::SIGTERM, run);
        pair.stop();
    }
    // One that preempts, or is better, would come back before the other one
    // has noticed anything: here the second is the better one, and came later.
    pair.preempt = false;
    pair.swap_skews();
    for run in 1..=runs {
        signalled(&mut pair, "usr2", Signal::SIGUSR2, run);
        pair.stop();
    }
}

fn signalled(pair: &mut Theirs<'_>, how: &str, signal: Signal, run: u32) {
    let (pinger, mark) = pair.ready();
    let from = stamp_now();
    pair.first.as_ref().unwrap().signal(signal);
    let seen = change(pair.wire(), mark);
    drop(pinger);
    let command = ms_between(from, seen.answer);
    emit(&format!("{how}.command"), command);
    progress(&format!("{how} {run}: {command:.2} ms from the signal to the answer"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_is_still_on_its_way_is_not_lost() {
        let now = Instant::now();
        let probe = |seq, answered: bool| Probe { seq, sent: now, answered: answered.then_some(now) };
        let fates = [true, false, true, false, false, true, false];
        let probes: Vec<_> = (0..).zip(fates).map(|(seq, fate)| probe(seq, fate)).collect();
        assert_eq!((lost(&probes), lost(&probes[..1]), lost(&[])), (3, 0, 0));
    }
}
