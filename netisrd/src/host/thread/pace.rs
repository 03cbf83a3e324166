//! When a netisr's thread sleeps.

use compat::sys::time::Time;
use nix::sched::sched_getcpu;
use nix::sys::resource::{UsageWho, getrusage};
use std::time::Duration;

/// How often it is looked at how many advertisements there are.
const WINDOW: Duration = Duration::from_millis(10);
/// From so many a millisecond on they are nobody's: 255 virtual hosts of twenty
/// routers each have fewer.
const FLOOD_PER_MS: u64 = 8;
/// How long frames gather then.
pub(super) const GATHER: Duration = Duration::from_micros(500);

/// Whether advertisements are taken in bundles: the kernel wakes a reader for each
/// frame that it did not expect, and that costs more than to judge it. So whoever
/// floods the wire with them is looked at from time to time, as `ifpoll` does.
#[derive(Default)]
pub(super) struct Bundles {
    on: bool,
    since: Time,
    seen: u64,
}

impl Bundles {
    /// So many have come until now.
    pub(super) fn look(&mut self, advertisements: u64, now: Time) -> bool {
        let passed = now - self.since;
        if passed >= WINDOW {
            let most = FLOOD_PER_MS * u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.on = advertisements - self.seen > most;
            (self.since, self.seen) = (now, advertisements);
        }
        self.on
    }
}

/// For how long a netisr that carries what the host sends looks for the next frame
/// before it sleeps. To be woken on another processor costs more than the frame: a
/// request and its answer would wait for it twice.
const BUSY_POLL: Duration = Duration::from_micros(100);
/// For how long it does not while whoever makes the answer needs its processor.
const CROWDED: Duration = Duration::from_millis(100);

/// Whether it looks: only while frames follow each other that closely, so that
/// whoever asks from time to time costs nothing; and not where others wait for its
/// processor, for there it is woken at once.
#[derive(Default)]
pub(super) struct Lingering {
    most: Duration,
    last: Time,
    on: bool,
    /// How often it has lingered in turn and others have waited.
    waited: u32,
    /// Which processor has others that wait, and until when it counts as one.
    crowded: Option<(usize, Time)>,
}

impl Lingering {
    /// For `asked`, if somebody has said so.
    pub(super) fn new(asked: Option<Duration>) -> Lingering {
        let alone = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
        let most = asked.unwrap_or(if alone { Duration::ZERO } else { BUSY_POLL });
        Lingering { most, ..Lingering::default() }
    }

    /// Frames have come. `processor`: where it runs, as the scheduler likes.
    pub(super) fn came(&mut self, now: Time, processor: impl Fn() -> usize) {
        if self.on {
            self.waited = 0;
        }
        self.crowded = self.crowded.filter(|(at, until)| now < *until && *at == processor());
        self.on = now - self.last < self.most && self.crowded.is_none();
        self.last = now;
    }

    pub(super) fn goes_on(&mut self, now: impl FnOnce() -> Time) -> bool {
        self.on = self.on && now() - self.last < self.most;
        self.on
    }

    /// Others have had the processor: they make the answer, or something else once.
    pub(super) fn others_ran(&mut self, processor: impl Fn() -> usize) {
        self.on = false;
        self.waited += 1;
        if self.waited > 1 {
            (self.waited, self.crowded) = (0, Some((processor(), self.last + CROWDED)));
        }
    }
}

/// Where this thread runs; nobody asks for the number.
pub(super) fn processor() -> usize {
    sched_getcpu().unwrap_or_default()
}

/// Lets others run on this processor, if they wait for it; whether some did.
pub(super) fn yielded() -> bool {
    let switches = || getrusage(UsageWho::RUSAGE_THREAD).map(|used| used.involuntary_context_switches()).ok();
    let before = switches();
    std::thread::yield_now();
    before != switches()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_taken_in_bundles_until_it_ends() {
        let mut bundles = Bundles::default();
        let ms = |n: u64| Time(n * 1_000_000);
        // Many, but over a long time; then more than anybody has; then none.
        let looks = [(1_000, 500), (1_050, 510), (1_132, 520), (1_132, 525), (1_132, 530)];
        let said = looks.map(|(advertisements, at)| bundles.look(advertisements, ms(at)));
        assert_eq!(said, [false, false, true, true, false]);
    }

    #[test]
    fn a_netisr_looks_for_the_next_frame_while_they_follow_each_other() {
        let us = |n: u64| Time(n * 1_000);
        let mut l = Lingering { most: Duration::from_micros(50), ..Lingering::default() };
        l.came(us(1_000), || 0);
        assert!(!l.goes_on(|| us(1_001)), "the first one for long");
        l.came(us(1_049), || 0);
        assert!(l.goes_on(|| us(1_098)));
        assert!(!l.goes_on(|| us(1_099)));
        assert!(!l.goes_on(|| us(1_098)), "it sleeps until another comes");
        l.came(us(1_100), || 0);
        assert!(!l.goes_on(|| us(1_100)), "51 us after that one");
        l.came(us(1_110), || 0);
        assert!(l.goes_on(|| us(1_110)));
        let mut never = Lingering::new(Some(Duration::ZERO));
        never.came(us(1), || 0);
        never.came(us(1), || 0);
        assert!(!never.goes_on(|| us(1)));
    }

    #[test]
    fn where_others_wait_for_the_processor_it_sleeps() {
        let mut l = Lingering { most: Duration::from_micros(50), ..Lingering::default() };
        let mut now = Time(1_000_000);
        let mut lingers = |l: &mut Lingering, processor: usize| {
            now = now + Duration::from_micros(10);
            l.came(now, || processor);
            l.goes_on(|| now)
        };
        assert!(!lingers(&mut l, 0));
        // Once is nothing, if it then finds a frame.
        for _ in 0..2 {
            assert!(lingers(&mut l, 0));
            l.others_ran(|| 0);
            assert!(!l.goes_on(|| Time(0)));
            assert!(lingers(&mut l, 0) && lingers(&mut l, 0));
        }
        for _ in 0..2 {
            assert!(lingers(&mut l, 0));
            l.others_ran(|| 0);
        }
        assert!(!lingers(&mut l, 0) && !lingers(&mut l, 0));
        assert!(lingers(&mut l, 1), "that is another one");
        assert!(lingers(&mut l, 0), "and what was is forgotten");
    }
}
