//! Its netisr would no longer be where its messages are.

use compat::net::netisr::Proc;
use compat::qsbr::{Netisr, Netisr0};

fn sent<T: Send>() {}
fn shared<T: Sync>() {}

fn main() {
    sent::<Netisr>();
    sent::<Netisr0>();
    sent::<Proc>();
    shared::<Netisr>();
    shared::<Netisr0>();
}
