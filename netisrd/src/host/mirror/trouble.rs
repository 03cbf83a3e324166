//! Who cannot be served, and until when that counts whatever succeeds.
//!
//! Of a MASTER nobody else can try whether it can be done by now, and each try takes
//! the address from its holder for a moment. So tries come ever later, and sooner only
//! when what is near has changed in the host, or when something else is asked for.

use super::shown::Wanted;
use compat::sys::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Before the second try.
const FIRST: Duration = Duration::from_secs(10);
/// No try is later than that, and what is longer ago is forgotten.
const LAST: Duration = Duration::from_secs(3600);

/// All of them, by the names of carp interfaces.
#[derive(Default)]
pub(super) struct Troubles(BTreeMap<String, Trouble>);

struct Trouble {
    /// What it is; none of one that may try again.
    what: Option<String>,
    /// What was asked for.
    of: Wanted,
    /// It failed as MASTER last.
    failed: Time,
    hold: Duration,
}

impl Trouble {
    fn until(&self) -> Time {
        self.failed + self.hold
    }
}

impl Troubles {
    /// What came of what was wanted. What went wrong comes back, once.
    pub(super) fn came(
        &mut self,
        name: &str,
        w: &Wanted,
        done: Result<(), String>,
        now: Time,
    ) -> Option<String> {
        let what = match done {
            Err(what) => what,
            Ok(()) => {
                self.succeeded(name, w, now);
                return None;
            }
        };
        let new = || Trouble { what: None, of: w.clone(), failed: now, hold: Duration::ZERO };
        let is = self.0.entry(name.to_owned()).or_insert_with(new);
        if w.master && now >= is.until() {
            let again = now < is.until() + LAST;
            is.hold = if again { (is.hold * 2).clamp(FIRST, LAST) } else { FIRST };
            is.failed = now;
        }
        is.of = w.clone();
        let said = is.what.as_ref() == Some(&what);
        is.what = Some(what.clone());
        (!said).then_some(what)
    }

    fn succeeded(&mut self, name: &str, w: &Wanted, now: Time) {
        let Some(is) = self.0.get_mut(name) else { return };
        if w.master || !is.of.asks_as(w) {
            self.0.remove(name);
        } else if now >= is.until() {
            is.what = None;
        }
    }

    /// What is near has changed in the host, and may have been in the way.
    pub(super) fn host_changed(&mut self) {
        self.0.values_mut().for_each(|is| is.hold = is.hold.min(FIRST));
    }

    /// Of these names alone.
    pub(super) fn retain(&mut self, is_one: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_one(name));
    }

    /// Whether one of them is in trouble now.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|is| is.what.is_some())
    }

    /// Whether any is.
    pub(super) fn has_any(&self) -> bool {
        self.0.values().any(|is| is.what.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::DataPath;

    fn wanted(master: bool) -> Wanted {
        let (if_index, lower, path) = (7, 3, DataPath::Macvlan);
        let (lladdr, addrs, asked) = (Some([0, 0, 0x5e, 0, 1, 1]), BTreeMap::new(), Vec::new());
        Wanted { if_index, lower, path, lladdr, master, addrs, asked, lifetime: 1, refused: None }
    }

    struct Rig(Troubles, u64);

    impl Rig {
        fn came(&mut self, w: &Wanted, done: Result<(), &str>) -> bool {
            let now = Time(self.1 * 1_000_000_000);
            self.0.came("carp0", w, done.map_err(str::to_owned), now).is_some()
        }

        /// Seconds until it may be MASTER again, if it is none meanwhile.
        fn held(&mut self) -> u64 {
            let since = self.1;
            while self.0.has("carp0") {
                self.1 += 1;
                self.came(&wanted(false), Ok(()));
            }
            self.1 - since
        }
    }

    #[test]
    fn a_master_that_fails_again_and_again_tries_ever_later() {
        let mut rig = Rig(Troubles::default(), 100);
        let mut held = Vec::new();
        for _ in 0..11 {
            assert!(rig.came(&wanted(true), Err("busy")));
            // Of the same mastership.
            assert!(!rig.came(&wanted(true), Err("busy")));
            held.push(rig.held());
        }
        assert_eq!(held, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        // After an hour of peace it is as new, and after a success.
        rig.1 += 3600;
        rig.came(&wanted(true), Err("busy"));
        assert_eq!(rig.held(), 10);
        rig.came(&wanted(true), Err("busy"));
        assert_eq!(rig.held(), 20);
        rig.came(&wanted(true), Ok(()));
        rig.came(&wanted(true), Err("busy"));
        assert_eq!(rig.held(), 10);
    }

    #[test]
    fn a_change_in_the_host_or_of_what_is_asked_lets_it_try_sooner() {
        let mut rig = Rig(Troubles::default(), 100);
        for _ in 0..4 {
            rig.came(&wanted(true), Err("busy"));
            rig.held();
        }
        rig.came(&wanted(true), Err("busy"));
        rig.1 += 3;
        rig.0.host_changed();
        assert_eq!(rig.held(), 7, "ten seconds lie between two tries whatever changes");
        rig.came(&wanted(true), Err("busy"));
        let other = Wanted { lladdr: Some([0, 0, 0x5e, 0, 1, 2]), ..wanted(false) };
        rig.came(&other, Ok(()));
        assert!(!rig.0.has("carp0"));
    }

    #[test]
    fn what_fails_without_a_mastership_is_tried_at_once() {
        let mut rig = Rig(Troubles::default(), 100);
        assert!(rig.came(&wanted(false), Err("its name is taken")));
        assert!(rig.0.has("carp0") && rig.0.has_any());
        rig.came(&wanted(false), Ok(()));
        assert!(!rig.0.has("carp0") && !rig.0.has_any());
    }
}
