//! The master dies without a word.

use crate::figures::emit;
use crate::pair::{Pair, change, ms_between};
use crate::section::progress;
use std::thread;

/// Kills the master `runs` times, at moments spread over its interval.
pub(crate) fn measure(pair: &mut dyn Pair, runs: u32) {
    let (interval, formula) = (pair.timing().interval(), pair.timing().formula_ms());
    emit("formula", formula);
    for run in 0..runs {
        let (pinger, mark) = pair.ready();
        // 7 and 20 have no common divisor: every phase comes once
        let phase = f64::from(run * 7 % 20) / 20.0;
        thread::sleep(interval.mul_f64(phase * 0.9));
        pair.crash();
        let seen = change(pair.wire(), mark);
        drop(pinger);
        let answer = ms_between(seen.last.stamp, seen.answer);
        let advert = ms_between(seen.last.stamp, seen.advert);
        emit("answer", answer);
        emit("excess", answer - formula);
        emit("advert", advert - formula);
        progress(&format!(
            "{}/{runs}: advertises {advert:.2} ms and answers {answer:.2} ms after the last advertisement",
            run + 1
        ));
    }
}
