//! `kern_slaballoc.c` under INVARIANTS: what is freed is overwritten with
//! `WEIRD_ADDR`, so that whoever still uses it is found out.
//!
//! Here what readers share carries a [`Canary`], which dies with it, and whoever
//! reads it looks at the canary first. In release builds it is nothing.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(debug_assertions)]
const ALIVE: u32 = 0x600d_c0de;
/// What upstream fills freed memory with.
#[cfg(debug_assertions)]
const WEIRD_ADDR: u32 = 0xdead_c0de;

/// Alive until it is dropped.
pub struct Canary(#[cfg(debug_assertions)] AtomicU32);

impl Canary {
    /// Panics in debug builds if what it is in was freed.
    #[inline]
    pub fn check(&self) {
        #[cfg(debug_assertions)]
        {
            let found = self.0.load(Ordering::Relaxed);
            assert_eq!(found, ALIVE, "used after it was freed: {found:#x}");
        }
    }
}

impl Default for Canary {
    #[inline]
    fn default() -> Self {
        Canary(
            #[cfg(debug_assertions)]
            AtomicU32::new(ALIVE),
        )
    }
}

impl Clone for Canary {
    /// A copy has a life of its own.
    #[inline]
    fn clone(&self) -> Self {
        self.check();
        Canary::default()
    }
}

#[cfg(debug_assertions)]
impl Drop for Canary {
    fn drop(&mut self) {
        self.check();
        // Atomic, so that the compiler keeps a store to what is freed next.
        self.0.store(WEIRD_ADDR, Ordering::Relaxed);
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_live_one_may_be_looked_at_and_copied() {
        let canary = Canary::default();
        canary.check();
        canary.clone().check();
    }

    #[test]
    #[should_panic(expected = "used after it was freed: 0xdeadc0de")]
    fn a_look_at_a_dead_one_panics() {
        // Dead, and not dropped a second time.
        let mut canary = std::mem::ManuallyDrop::new(Canary::default());
        *canary.0.get_mut() = WEIRD_ADDR;
        canary.check();
    }
}
