//! A copy could be made where one may wait and kept where one may not; and one
//! by default is one forged.

use compat::net::netisr::Proc;

fn cloned<T: Clone>() {}
fn copied<T: Copy>() {}
fn by_default<T: Default>() {}

fn copies() {
    cloned::<Proc>();
    copied::<Proc>();
    by_default::<Proc>();
}

fn main() {}
