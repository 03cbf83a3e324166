//! Where a netisr's thread runs.

use crate::dev::Processors;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread.
const SELF: Pid = Pid::from_raw(0);

/// Where a netisr's thread runs. On DragonFly that is its processor; here it is while
/// frames come to it by the processor that has them, and nobody on another one has to be
/// woken for them. Else the scheduler knows better: a netisr that CARP alone keeps awake
/// is to have whichever is free.
#[derive(Default)]
pub(super) struct Place {
    /// Where it is bound to, and where it could run before.
    bound: Option<(Processors, CpuSet)>,
}

impl Place {
    /// For the thread itself: the frames of these come to it, or of none any more.
    pub(super) fn settle(&mut self, processors: Option<Processors>) {
        if self.bound.map(|(to, _)| to) == processors {
            return;
        }
        if let Err(e) = self.free().and_then(|()| processors.map_or(Ok(()), |to| self.bind(to))) {
            // It is slower where it is, and as good.
            tracing::warn!("a netisr is not bound to its processors: {e}");
        }
    }

    fn free(&mut self) -> nix::Result<()> {
        self.bound.take().map_or(Ok(()), |(_, free)| sched_setaffinity(SELF, &free))
    }

    fn bind(&mut self, to: Processors) -> nix::Result<()> {
        let free = sched_getaffinity(SELF)?;
        self.bound = Some((to, free));
        own(&free, to)?.map_or(Ok(()), |own| sched_setaffinity(SELF, &own))
    }
}

/// Those of them where it may run; `None` if there are none.
fn own(free: &CpuSet, Processors { nth, of }: Processors) -> nix::Result<Option<CpuSet>> {
    let mut own = None;
    for cpu in (nth..CpuSet::count()).step_by(of) {
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
        let own = |free: &[usize], nth, of| own(&set(free), Processors { nth, of }).unwrap();
        assert_eq!((own(&[0, 1], 0, 2), own(&[0, 1], 1, 2)), (Some(set(&[0])), Some(set(&[1]))));
        // As a service manager may have it, and fewer queues than processors.
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
            let mut place = Place::default();
            place.settle(None);
            assert_eq!(here(), free);
            for _ in 0..2 {
                place.settle(Some(Processors { nth: last, of: last + 1 }));
                assert_eq!(here(), set(&[last]));
            }
            // Those of another card.
            place.settle(Some(Processors { nth: 0, of: 1 }));
            assert_eq!(here(), free);
            place.settle(Some(Processors { nth: last, of: last + 1 }));
            place.settle(None);
            assert_eq!(here(), free);
        });
        moved.join().unwrap();
    }
}
