//! What came in against what became of it.

use super::wire::Cable;
use netisrd::host::runtime::Runtime;
use netisrd::net::fate::Fate;
use std::sync::atomic::{AtomicU64, Ordering};

/// Waits until every frame has met its fate, and each that waited at a port
/// was dispatched. A frame that is lost makes this wait for ever, and the
/// watchdog ends it.
pub(super) fn wait_until_quiet(runtime: &Runtime, cable: &Cable, beat: &AtomicU64) {
    let m = runtime.machine();
    let mut said = 0;
    while fates(runtime) != cable.produced() || !m.port0.is_empty() || m.ports.iter().any(|p| !p.is_empty()) {
        if said != fates(runtime) {
            said = fates(runtime);
            beat.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::yield_now();
    }
    // What was taken from a port last may still be on its way.
    runtime.barrier();
}

fn fates(runtime: &Runtime) -> u64 {
    Fate::ALL.iter().map(|f| runtime.machine().fates.value(*f)).sum()
}

/// Prints the table of fates; what does not add up.
pub(super) fn balance(runtime: &Runtime, cable: &Cable) -> Vec<String> {
    let m = runtime.machine();
    let fate = |f| m.fates.value(f);
    println!("  {:>12} produced", cable.produced());
    for f in Fate::ALL {
        println!("  {:>12} {f:?}", fate(f));
    }
    let (sent, refused) = cable.sent();
    println!("  {sent:>12} sent, {refused} refused by the card");
    let (ip, ip6) = (&m.ipstat, &m.ip6stat);
    let bad = [&ip.badlen, &ip.badvers, &ip.badhlen, &ip.badsum, &ip.fragments];
    let ended = [&ip.cantforward, &ip.noproto, &ip.delivered];
    let bad6 = [&ip6.badlen, &ip6.badvers, &ip6.badscope, &ip6.badsum];
    let ended6 = [&ip6.cantforward, &ip6.noproto, &ip6.delivered];
    let sum = |counters: &[&compat::net::if_var::Counter]| counters.iter().map(|c| c.value()).sum::<u64>();
    let equations = [
        ("frames produced and fates met", cable.produced(), fates(runtime)),
        ("other vhids", fate(Fate::OtherVhid), m.other_vhid.value()),
        (
            "what IP, IPv6, CARP and ND were given and have counted",
            fate(Fate::Ip) + fate(Fate::Ip6) + fate(Fate::Carp) + fate(Fate::Nd6),
            ip.total.value() + ip6.total.value(),
        ),
        ("IPv4 packets and their ends", ip.total.value(), sum(&bad) + sum(&ended)),
        ("IPv6 packets and their ends", ip6.total.value(), sum(&bad6) + sum(&ended6)),
    ];
    let wrong = equations.iter().filter(|(_, a, b)| a != b);
    wrong.map(|(what, a, b)| format!("{what}: {a} and {b}")).collect()
}
