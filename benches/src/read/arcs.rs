//! `arc-swap`: counted pointers that are switched, loaded for each read or
//! kept by each reader until they have changed.

use super::{Cells, Each, Reader, Value, Writer, each};
use arc_swap::{ArcSwapOption, Cache};
use std::sync::Arc;

type Pointers = Each<ArcSwapOption<Value>>;

fn pointers() -> Pointers {
    each(|at| ArcSwapOption::from_pointee(Value::of(at)))
}

pub(super) struct Load(Pointers);
pub(super) struct Cached(Pointers);

/// The writer of both.
pub(super) struct Switch<'a>(&'a Pointers);

impl Writer for Switch<'_> {
    fn change(&mut self, at: usize) {
        self.0[at].store(Some(Arc::new(Value::of(at))));
    }
}

impl Cells for Load {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = &'a Load;
    type Writer<'a> = Switch<'a>;

    fn build(readers: usize) -> (Load, (), Vec<()>) {
        (Load(pointers()), (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> &Load {
        self
    }

    fn writer(&self, (): ()) -> Switch<'_> {
        Switch(&self.0)
    }
}

impl Reader for &Load {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.0[at].load().as_ref().map_or(0, |v| v.next)
    }
}

type Pointer<'a> = Cache<&'a ArcSwapOption<Value>, Option<Arc<Value>>>;
pub(super) struct Caches<'a>(Each<Pointer<'a>>);

impl Cells for Cached {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = Caches<'a>;
    type Writer<'a> = Switch<'a>;

    fn build(readers: usize) -> (Cached, (), Vec<()>) {
        (Cached(pointers()), (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> Caches<'_> {
        Caches(each(|at| Cache::new(&*self.0[at])))
    }

    fn writer(&self, (): ()) -> Switch<'_> {
        Switch(&self.0)
    }
}

impl Reader for Caches<'_> {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.0[at].load().as_ref().map_or(0, |v| v.next)
    }
}
