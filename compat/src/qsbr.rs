//! Quiescent-state-based reclamation: what `if_carp`'s copy, switch,
//! synchronise, free stands on, as types.
//!
//! A machine has `n` netisrs. Each has one token ([`Netisr`]; netisr0's is
//! [`Netisr0`]) that never leaves its thread. A dispatched message borrows the
//! token; between two messages nothing does, and the netisr says so with
//! [`Netisr::quiescent`] when a sync message comes to it.
//!
//! ```text
//! netisr0 (writer)                      netisr k (reader)
//! A  old = cell.swap(new)               a  p = cell.load(&token)
//! B  gp += 1                            b  ... uses p ...
//! C  a sync message to every netisr     c  the dispatch ends, its borrows too
//! D  every slot >= gp?                  d  token.quiescent(): slot[k] = gp
//! E  free old
//! ```
//!
//! `load` borrows the token, `quiescent` needs it by `&mut`, so a loaded
//! reference cannot live across `d`. The writer frees only after it has seen
//! each slot reach `gp`, which happens after `B` and so after `A`: whoever
//! loads later loads the new value. Messages are how the others are brought
//! to `d` ([`Synchronize`]); a transport that lies makes [`service_sync`]
//! panic before anything is freed, so this module is sound without trusting
//! it. Upstream: `ip_carp.c`'s head comment, `netisr.c: netmsg_service_sync`.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;

/// What a slot of a netisr that has ended holds: it never reads again.
const ENDED: u64 = u64::MAX;

/// One slot, alone in its cache line: its netisr writes it, netisr0 reads it.
#[repr(align(128))]
struct Slot(AtomicU64);

struct Shared {
    gp: AtomicU64,
    slots: Box<[Slot]>,
}

/// Which machine a token or a cell belongs to. Cheap to clone and compare.
#[derive(Clone)]
pub struct Brand(Arc<Shared>);

impl Brand {
    /// How many netisrs the machine has.
    pub fn ncpus(&self) -> usize {
        self.0.slots.len()
    }

    #[inline]
    fn check(&self, other: &Brand) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            stranger();
        }
    }
}

/// Not beside the load that checks.
#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "who reads with such a token is not waited for")]
fn stranger() -> ! {
    panic!("a token of one machine used on a cell of another");
}

/// A token on its way to its thread. Only the thread that claims it has it.
pub struct Seed {
    brand: Brand,
    cpuid: usize,
}

/// Makes the brand and the tokens of a machine of `n` netisrs, netisr0's first.
///
/// # Panics
/// If `n` is 0.
pub fn machine(n: usize) -> (Brand, Vec<Seed>) {
    assert!(n > 0, "a machine has at least netisr0");
    let slots = (0..n).map(|_| Slot(AtomicU64::new(0))).collect();
    let brand = Brand(Arc::new(Shared { gp: AtomicU64::new(0), slots }));
    let seeds = (0..n).map(|cpuid| Seed { brand: brand.clone(), cpuid }).collect();
    (brand, seeds)
}

impl Seed {
    /// `mycpuid` of the token that this becomes.
    pub fn cpuid(&self) -> usize {
        self.cpuid
    }

    /// Claims netisr k's token for this thread.
    ///
    /// # Panics
    /// For netisr0's seed: that one is claimed with [`Seed::claim0`].
    pub fn claim(self) -> Netisr {
        assert!(self.cpuid != 0, "netisr0's token is claimed with claim0()");
        Netisr { brand: self.brand, cpuid: self.cpuid, here: PhantomData }
    }

    /// Claims netisr0's token for this thread. `transport` brings the other
    /// netisrs to a quiescent state.
    ///
    /// # Panics
    /// For another netisr's seed.
    pub fn claim0(self, transport: Box<dyn Synchronize>) -> Netisr0 {
        assert!(self.cpuid == 0, "only netisr0 synchronises");
        let netisr = Netisr { brand: self.brand, cpuid: 0, here: PhantomData };
        Netisr0 { netisr, transport: Cell::new(Some(transport)) }
    }
}

/// A netisr's token: proof of being on that netisr's thread. Neither `Send`
/// nor `Sync` nor `Clone`.
pub struct Netisr {
    brand: Brand,
    cpuid: usize,
    here: PhantomData<*mut ()>,
}

impl Netisr {
    /// `mycpuid`.
    pub fn cpuid(&self) -> usize {
        self.cpuid
    }

    /// The machine's brand, to make cells with.
    pub fn brand(&self) -> &Brand {
        &self.brand
    }

    /// d: nothing loaded through this token is in use any more; `&mut` says
    /// so. What a sync message is dispatched to; the reply comes after it.
    pub fn quiescent(&mut self) {
        let shared = &self.brand.0;
        // Acquire pairs with B: whoever sees the new grace period sees the
        // switch before it. Release pairs with D: whoever sees the slot sees
        // all uses of the old value done.
        let gp = shared.gp.load(Ordering::Acquire);
        shared.slots[self.cpuid].0.store(gp, Ordering::Release);
    }
}

impl Drop for Netisr {
    fn drop(&mut self) {
        // A token that is dropped has no borrows, and never will again.
        self.brand.0.slots[self.cpuid].0.store(ENDED, Ordering::Release);
    }
}

/// Brings every other netisr through [`Netisr::quiescent`].
pub trait Synchronize {
    /// Returns once each of netisr 1 to n-1 has, after the call began, ended
    /// the message that it was dispatching and called `quiescent`.
    fn synchronize(&mut self);
}

impl<F: FnMut()> Synchronize for F {
    fn synchronize(&mut self) {
        self();
    }
}

/// netisr0's token. It also opens what only netisr0 may touch
/// ([`Netisr0Cell`]) and is what [`QsCell::swap`] asks for.
pub struct Netisr0 {
    netisr: Netisr,
    transport: Cell<Option<Box<dyn Synchronize>>>,
}

impl Deref for Netisr0 {
    type Target = Netisr;

    fn deref(&self) -> &Netisr {
        &self.netisr
    }
}

/// `netmsg_service_sync()`: B to E. The borrow of netisr0's token by `&mut`
/// ends whatever netisr0 itself still held; when the call returns no netisr
/// can reach what was retired, and it is given back to be freed.
///
/// # Panics
/// If the transport returns although a netisr has not been quiescent. Nothing
/// is freed then.
#[allow(clippy::panic, reason = "freeing what somebody reads would be worse")]
pub fn service_sync<R: Retire>(n0: &mut Netisr0, retired: R) -> R::Freed {
    let gp = n0.netisr.brand.0.begin();
    // C
    let mut transport = n0.transport.take();
    if let Some(t) = transport.as_mut() {
        t.synchronize();
    }
    n0.transport.set(transport);
    // D
    if let Some((cpuid, seen)) = n0.netisr.brand.0.lagging(gp) {
        panic!("netisr {cpuid} was not quiescent: slot {seen}, grace period {gp}");
    }
    // E
    retired.reclaim(&n0.netisr.brand, &Synced(()))
}

impl Shared {
    /// B: a grace period begins; its number. Release: the switch (A) comes
    /// before it.
    fn begin(&self) -> u64 {
        self.gp.fetch_add(1, Ordering::Release) + 1
    }

    /// D: a netisr but netisr0 that has not been quiescent since `gp` began,
    /// with its slot. Acquire: what the others read, they have read.
    fn lagging(&self, gp: u64) -> Option<(usize, u64)> {
        let slots = self.slots.iter().enumerate().skip(1);
        slots.map(|(cpuid, slot)| (cpuid, slot.0.load(Ordering::Acquire))).find(|(_, seen)| *seen < gp)
    }
}

mod sealed {
    /// The proof that D has been passed. Nobody but `service_sync` makes one.
    pub struct Synced(pub(super) ());

    /// Not nameable outside, so that nobody else implements it; and a bound on
    /// `Retire` alone does not let anybody call it: that takes a proof.
    pub trait Reclaim {
        type Freed;
        fn reclaim(self, brand: &super::Brand, proof: &Synced) -> Self::Freed;
    }
}
use sealed::{Reclaim, Synced};

/// What [`service_sync`] can give back: a [`Retired`] or a pair of them.
///
/// Nothing else takes a value out of a [`Retired`], and nothing that was loaded
/// lives across it (`tests/misuse/` has each rule's program):
///
/// ```compile_fail,E0502
/// use compat::qsbr::{Netisr0, QsCell, service_sync};
/// fn keep(n0: &mut Netisr0, cell: &QsCell<u32>) -> u32 {
///     let held = cell.load(n0);
///     let old = cell.swap(n0, None);
///     service_sync(n0, old);
///     *held.unwrap()
/// }
/// ```
pub trait Retire: Reclaim {}

/// A value that was switched out of a cell and that readers may still use. It
/// comes back from [`service_sync`]; dropped instead, it is leaked, never
/// freed, and debug builds panic.
#[must_use = "a retired value is freed by service_sync(), and leaks without it"]
pub struct Retired<T> {
    old: *mut T,
    brand: Brand,
}

impl<T> Drop for Retired<T> {
    fn drop(&mut self) {
        // Freeing here could free what somebody reads. A panic of service_sync
        // is on its way out already.
        debug_assert!(
            self.old.is_null() || std::thread::panicking(),
            "a retired value was dropped without service_sync(): it leaks"
        );
    }
}

impl<T> Retire for Retired<T> {}
impl<T> Reclaim for Retired<T> {
    type Freed = Option<Box<T>>;

    fn reclaim(mut self, brand: &Brand, _: &Synced) -> Option<Box<T>> {
        self.brand.check(brand);
        let old = std::mem::replace(&mut self.old, ptr::null_mut());
        if old.is_null() {
            return None;
        }
        // SAFETY: `old` came from Box::into_raw in `swap` and left its cell
        // there, so this is its only owner; service_sync has seen every slot
        // pass the grace period, so no reader's borrow exists.
        Some(unsafe { Box::from_raw(old) })
    }
}

/// Nothing: a barrier.
impl Retire for () {}
impl Reclaim for () {
    type Freed = ();

    fn reclaim(self, _: &Brand, _: &Synced) {}
}

impl<A: Retire, B: Retire> Retire for (A, B) {}
impl<A: Retire, B: Retire> Reclaim for (A, B) {
    type Freed = (A::Freed, B::Freed);

    fn reclaim(self, brand: &Brand, proof: &Synced) -> Self::Freed {
        (self.0.reclaim(brand, proof), self.1.reclaim(brand, proof))
    }
}

/// A pointer that netisr0 switches and every netisr reads: upstream's
/// `if_carp`, `sc_carpdev`. Aligned so that both words are in one cache line.
#[repr(align(16))]
pub struct QsCell<T> {
    ptr: AtomicPtr<T>,
    brand: Brand,
}

// SAFETY: the cell owns a T, which the thread that drops the cell or gets the
// reclaimed box frees: T must be Send.
unsafe impl<T: Send> Send for QsCell<T> {}
// SAFETY: many threads get &T through `load` (T: Sync), and one that swaps may
// free a T made by another (T: Send).
unsafe impl<T: Send + Sync> Sync for QsCell<T> {}

impl<T> QsCell<T> {
    /// An empty cell of that machine.
    pub fn new(brand: &Brand) -> QsCell<T> {
        QsCell { ptr: AtomicPtr::new(ptr::null_mut()), brand: brand.clone() }
    }

    /// a: one acquire load. The reference is the "local temporary variable" of
    /// upstream's rule: it lives at most as long as the dispatch that lent the
    /// token.
    #[inline]
    pub fn load<'n>(&'n self, n: &'n Netisr) -> Option<&'n T> {
        let p = self.ptr.load(Ordering::Acquire);
        // After the load and before p is followed: a branch between the cell's
        // address and the load costs what waits for p a cycle.
        self.brand.check(&n.brand);
        // SAFETY: p is null or a live T. Acquire pairs with A's release, so T
        // is whole. The token is of the cell's machine, so T is freed only
        // after this netisr called `quiescent` with `&mut` of the token that
        // 'n borrows, or with `&mut` of this cell (Drop), which 'n borrows too.
        unsafe { p.as_ref() }
    }

    /// A: switches the pointer. What was there is retired, not freed.
    pub fn swap(&self, n0: &Netisr0, new: Option<Box<T>>) -> Retired<T> {
        self.brand.check(&n0.netisr.brand);
        let new = new.map_or(ptr::null_mut(), Box::into_raw);
        // Release publishes what `new` points to. What was there before this
        // thread put there itself: there is nothing to acquire.
        let old = self.ptr.swap(new, Ordering::Release);
        Retired { old, brand: self.brand.clone() }
    }
}

impl<T> Drop for QsCell<T> {
    fn drop(&mut self) {
        // Relaxed: `&mut self` comes after whatever happened to the cell.
        let p = self.ptr.load(Ordering::Relaxed);
        if !p.is_null() {
            // SAFETY: `&mut self`: nobody borrows the cell, and every loaded
            // reference borrows it. The value is the cell's own.
            drop(unsafe { Box::from_raw(p) });
        }
    }
}

/// What only netisr0 may touch, reachable only with its token.
pub struct Netisr0Cell<T> {
    value: T,
    brand: Brand,
}

// SAFETY: `get` needs `&Netisr0`, which only one thread has (neither Send nor
// Sync) and of which a machine has one; so &T exists on one thread at a time.
// The value may be made and dropped on other threads: T must be Send.
unsafe impl<T: Send> Sync for Netisr0Cell<T> {}

impl<T> Netisr0Cell<T> {
    /// Wraps `value` for that machine's netisr0.
    pub fn new(brand: &Brand, value: T) -> Netisr0Cell<T> {
        Netisr0Cell { value, brand: brand.clone() }
    }

    /// The value, for netisr0.
    #[inline]
    pub fn get<'a>(&'a self, n0: &'a Netisr0) -> &'a T {
        self.brand.check(&n0.netisr.brand);
        &self.value
    }
}

#[cfg(all(test, loom))]
mod model;

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
