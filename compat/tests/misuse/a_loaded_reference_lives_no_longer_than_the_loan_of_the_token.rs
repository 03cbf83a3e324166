//! Whoever gets the token for a call would keep what was loaded after it, when
//! the caller may end the dispatch.

use compat::qsbr::{Netisr, QsCell};

fn keep<'a>(n: &Netisr, if_carp: &'a QsCell<Vec<u32>>, kept: &mut Option<&'a Vec<u32>>) {
    *kept = if_carp.load(n);
}

fn main() {}
