//! What service_sync gives back is what a cell had.

use compat::qsbr::Retire;

struct Mine;

impl Retire for Mine {}

fn main() {}
