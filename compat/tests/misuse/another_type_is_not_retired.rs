//! `service_sync` would hand it the proof that all netisrs were quiescent, to
//! use on whatever it likes.

use compat::qsbr::Retire;

struct Mine;

impl Retire for Mine {}

fn main() {}
