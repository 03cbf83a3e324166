//! As with retiring: who is reclaimed gets the proof.

use compat::qsbr::sealed::{Reclaim, Synced};
use compat::qsbr::{Brand, Netisr0, service_sync};

struct Mine;

impl Reclaim for Mine {
    type Freed = ();
    fn reclaim(self, _: &Brand, _: &Synced) {}
}

fn sync(n0: &mut Netisr0) {
    service_sync(n0, Mine);
}

fn main() {}
