use super::*;
use std::sync::atomic::AtomicUsize;

struct Canary(Arc<AtomicUsize>, u64);

impl Drop for Canary {
    fn drop(&mut self) {
        assert_eq!(self.1, 0xfeed_beef, "freed twice or overwritten");
        self.1 = 0;
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn solo() -> (Brand, Netisr0) {
    let (brand, mut seeds) = machine(1);
    (brand, seeds.remove(0).claim0(Box::new(|| {})))
}

#[test]
fn the_old_value_is_freed_by_sync_and_not_before() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (brand, mut n0) = solo();
    let cell = QsCell::new(&brand);
    let first = cell.swap(&n0, Some(Box::new(Canary(freed.clone(), 0xfeed_beef))));
    assert!(service_sync(&mut n0, first).is_none());
    let second = cell.swap(&n0, None);
    assert_eq!(freed.load(Ordering::Relaxed), 0);
    assert!(cell.load(&n0).is_none());
    drop(service_sync(&mut n0, second));
    assert_eq!(freed.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cell_frees_what_it_still_holds() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (brand, n0) = solo();
    let cell = QsCell::new(&brand);
    drop(cell.swap(&n0, Some(Box::new(Canary(freed.clone(), 0xfeed_beef)))));
    drop(cell);
    assert_eq!(freed.load(Ordering::Relaxed), 1);
}

#[test]
#[should_panic(expected = "another")]
fn a_token_of_another_machine_is_refused() {
    let (brand, _n0) = solo();
    let (_brand, other) = solo();
    let cell: QsCell<u32> = QsCell::new(&brand);
    let _ = cell.load(&other);
}

#[test]
#[should_panic(expected = "was not quiescent")]
fn a_transport_that_lies_is_caught_before_anything_is_freed() {
    let (brand, mut seeds) = machine(2);
    let mut n0 = seeds.remove(0).claim0(Box::new(|| {}));
    let _n1 = seeds.remove(0).claim();
    let cell = QsCell::new(&brand);
    let old = cell.swap(&n0, Some(Box::new(1)));
    let _ = service_sync(&mut n0, old);
}

#[test]
fn readers_on_threads_never_see_a_freed_value() {
    // Miri takes its time.
    const ROUNDS: usize = if cfg!(miri) { 5 } else { 500 };
    let freed = Arc::new(AtomicUsize::new(0));
    let (brand, seeds) = machine(3);
    let cell: Arc<QsCell<Canary>> = Arc::new(QsCell::new(&brand));
    let mut seeds = seeds.into_iter();
    let seed0 = seeds.next().unwrap();
    let mut asks = Vec::new();
    std::thread::scope(|s| {
        for seed in seeds {
            let (ask, asked) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<()>>();
            asks.push(ask);
            let cell = cell.clone();
            s.spawn(move || {
                let mut n = seed.claim();
                loop {
                    for _ in 0..50 {
                        if let Some(c) = cell.load(&n) {
                            // Long enough for whoever would free it.
                            std::thread::yield_now();
                            assert_eq!(c.1, 0xfeed_beef);
                        }
                    }
                    match asked.try_recv() {
                        Ok(reply) => {
                            n.quiescent();
                            reply.send(()).unwrap();
                        }
                        Err(std::sync::mpsc::TryRecvError::Empty) => n.quiescent(),
                        Err(_) => return,
                    }
                }
            });
        }
        let asks = std::mem::take(&mut asks);
        let mut n0 = seed0.claim0(Box::new(move || {
            for ask in &asks {
                let (reply, replied) = std::sync::mpsc::channel();
                ask.send(reply).unwrap();
                replied.recv().unwrap();
            }
        }));
        for _ in 0..ROUNDS {
            let old = cell.swap(&n0, Some(Box::new(Canary(freed.clone(), 0xfeed_beef))));
            drop(service_sync(&mut n0, old));
        }
        let old = cell.swap(&n0, None);
        drop(service_sync(&mut n0, old));
    });
    assert_eq!(freed.load(Ordering::Relaxed), ROUNDS);
}
