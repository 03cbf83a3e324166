//! `sys/callout.h`: timers. A callout is a key; at its time it fires once, in
//! the order of deadlines and, for equal ones, of arming.

use super::time::Time;
use std::collections::BTreeMap;

/// The pending callouts of one netisr.
pub struct Callouts<K> {
    wheel: BTreeMap<(Time, u64), K>,
    armed: BTreeMap<K, (Time, u64)>,
    seq: u64,
}

impl<K> Default for Callouts<K> {
    fn default() -> Self {
        Callouts { wheel: BTreeMap::new(), armed: BTreeMap::new(), seq: 0 }
    }
}

impl<K: Copy + Ord> Callouts<K> {
    /// `callout_reset`: fires at `when`, whatever was armed before.
    pub fn reset(&mut self, key: K, when: Time) {
        self.seq += 1;
        let at = (when, self.seq);
        if let Some(before) = self.armed.insert(key, at) {
            self.wheel.remove(&before);
        }
        self.wheel.insert(at, key);
    }

    /// `callout_stop`: whether it was pending.
    pub fn stop(&mut self, key: K) -> bool {
        match self.armed.remove(&key) {
            Some(at) => self.wheel.remove(&at).is_some(),
            None => false,
        }
    }

    /// When it fires, if it is pending.
    pub fn deadline(&self, key: K) -> Option<Time> {
        self.armed.get(&key).map(|(when, _)| *when)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.wheel.keys().next().map(|(when, _)| *when)
    }

    /// Takes the earliest callout that is due.
    pub fn expire(&mut self, now: Time) -> Option<K> {
        let (&at, &key) = self.wheel.iter().next()?;
        if at.0 > now {
            return None;
        }
        self.wheel.remove(&at);
        self.armed.remove(&key);
        Some(key)
    }

    /// How many are pending.
    pub fn len(&self) -> usize {
        self.wheel.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }

    /// All that are pending, by key.
    pub fn iter(&self) -> impl Iterator<Item = (K, Time)> + '_ {
        self.armed.iter().map(|(k, (t, _))| (*k, *t))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_once_in_order_and_not_before_its_time() {
        let mut c = Callouts::default();
        c.reset('b', Time(20));
        c.reset('a', Time(20));
        c.reset('c', Time(10));
        c.reset('d', Time(5));
        assert!(c.stop('d'));
        assert!(!c.stop('d'));
        assert_eq!(c.next(), Some(Time(10)));
        assert_eq!(c.expire(Time(9)), None);
        assert_eq!(c.expire(Time(20)), Some('c'));
        assert_eq!(c.expire(Time(20)), Some('b'));
        assert_eq!(c.expire(Time(20)), Some('a'));
        assert_eq!(c.expire(Time(99)), None);
        assert!(c.is_empty());
    }

    #[test]
    fn a_reset_moves_the_deadline() {
        let mut c = Callouts::default();
        c.reset(1, Time(10));
        c.reset(1, Time(30));
        assert_eq!((c.deadline(1), c.len()), (Some(Time(30)), 1));
        assert_eq!(c.expire(Time(29)), None);
        assert_eq!(c.expire(Time(30)), Some(1));
    }
}
