//! Where a netisr's thread runs.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread.
const SELF: Pid = Pid::from_raw(0);

/// Where a netisr's thread runs. On DragonFly that is its processor; here it is while
/// frames come to it by the processor on which they came in, and nobody on another one
/// has to be woken for them. Else the scheduler knows better: a netisr that CARP alone
/// keeps awake is to have whichever is free.
pub(super) struct Place {
    cpuid: usize,
    ncpus: usize,
    /// Where it could run before it was bound.
    free: Option<CpuSet>,
}

impl Place {
    /// Of netisr `cpuid` of so many.
    pub(super) fn new(cpuid: usize, ncpus: usize) -> Place {
        Place { cpuid, ncpus, free: None }
    }

    /// For the thread itself. Frames come to it by processor, or they do not any more.
    pub(super) fn settle(&mut self, by_processor: bool) {
        let done = match (by_processor, self.free) {
            (true, None) => self.bind(),
            (false, Some(free)) => sched_setaffinity(SELF, &free).map(|()| self.free = None),
            _ => Ok(()),
        };
        if let Err(e) = done {
            // It is slower where it is, and as good.
            tracing::warn!("netisr {}: not bound to its processors: {e}", self.cpuid);
        }
    }

    fn bind(&mut self) -> nix::Result<()> {
        let free = sched_getaffinity(SELF)?;
        self.free = Some(free);
        match own(&free, self.cpuid, self.ncpus)? {
            Some(own) => sched_setaffinity(SELF, &own),
            None => Ok(()),
        }
    }
}

/// Of those, the processors whose frames are that netisr's, as `PACKET_FANOUT_CPU` deals
/// them out. `None` for none.
fn own(free: &CpuSet, cpuid: usize, ncpus: usize) -> nix::Result<Option<CpuSet>> {
    let mut own = None;
    for cpu in (cpuid..CpuSet::count()).step_by(ncpus) {
        if free.is_set(cpu)? {
            own.get_or_insert_with(CpuSet::new).set(cpu)?;
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn set(cpus: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu).unwrap());
        set
    }

    #[test]
    fn a_netisr_has_the_processors_whose_frames_it_is_given() {
        let own = |free: &[usize], cpuid, ncpus| own(&set(free), cpuid, ncpus).unwrap();
        assert_eq!((own(&[0, 1], 0, 2), own(&[0, 1], 1, 2)), (Some(set(&[0])), Some(set(&[1]))));
        // As a service manager may have it, and fewer netisrs than processors.
        assert_eq!((own(&[2, 3], 0, 2), own(&[2, 3], 1, 2)), (Some(set(&[2])), Some(set(&[3]))));
        assert_eq!(own(&[0, 1, 2, 5], 1, 2), Some(set(&[1, 5])));
        assert_eq!(own(&[0, 1, 2, 5], 0, 1), Some(set(&[0, 1, 2, 5])));
        assert_eq!((own(&[0, 1], 2, 3), own(&[4], 1, 2)), (None, None));
    }

    #[test]
    fn it_is_bound_while_frames_come_by_processor() {
        // A thread of its own: it moves.
        let moved = std::thread::spawn(|| {
            let here = || sched_getaffinity(SELF).unwrap();
            let free = here();
            let last = (0..CpuSet::count()).rfind(|cpu| free.is_set(*cpu).unwrap()).unwrap();
            let mut place = Place::new(last, last + 1);
            place.settle(false);
            assert_eq!(here(), free);
            for _ in 0..2 {
                place.settle(true);
                assert_eq!(here(), set(&[last]));
            }
            place.settle(false);
            assert_eq!(here(), free);
        });
        moved.join().unwrap();
    }
}
