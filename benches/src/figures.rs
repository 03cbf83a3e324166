//! Samples by name, and their way out of a laboratory.

use crate::stats::Summary;
use std::collections::BTreeMap;

/// What a line with a sample starts with.
const MARK: &str = "@ ";

/// Prints one sample for the process that started this section.
pub(crate) fn emit(key: &str, value: f64) {
    println!("{MARK}{key} {value}");
}

/// What was measured: `section.key`, and its samples in the order they came.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    /// Takes a line if it is a sample.
    pub(crate) fn take(&mut self, section: &str, line: &str) -> bool {
        let Some((key, value)) = line.strip_prefix(MARK).and_then(|l| l.split_once(' ')) else {
            return false;
        };
        let Ok(value) = value.parse() else { return false };
        self.push(section, key, value);
        true
    }

    pub(crate) fn push(&mut self, section: &str, key: &str, value: f64) {
        self.0.entry(format!("{section}.{key}")).or_default().push(value);
    }

    /// Whether that section said anything.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.0.keys().any(|k| k.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
    }

    pub(crate) fn summary(&self, section: &str, key: &str) -> Option<Summary> {
        Summary::of(self.0.get(&format!("{section}.{key}"))?)
    }

    /// The median of how many times as large each sample of one is as the
    /// other's of the same round.
    pub(crate) fn ratio(&self, section: &str, [of, over]: [&str; 2]) -> Option<f64> {
        let [of, over] = [of, over].map(|key| self.0.get(&format!("{section}.{key}")));
        let ratios: Vec<_> = of?.iter().zip(over?).map(|(of, over)| of / over).collect();
        Summary::of(&ratios).map(|s| s.median)
    }

    /// The median.
    pub(crate) fn value(&self, section: &str, key: &str) -> Option<f64> {
        self.summary(section, key).map(|s| s.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_from_the_noise_of_a_laboratory() {
        let mut f = Figures::default();
        let taken = ["@ answer 3391.5", "[m1] netisrd: ready", "@ answer", "@ answer x", "@ answer 3392"];
        assert_eq!(taken.map(|l| f.take("t", l)), [true, false, false, false, true]);
        assert_eq!(f.summary("t", "answer"), Summary::of(&[3391.5, 3392.0]));
        assert_eq!((f.value("t", "answer"), f.value("t", "other")), (Some(3391.75), None));
        assert_eq!(f.take("t", "@ ping 1130.5").then(|| f.ratio("t", ["answer", "ping"])), Some(Some(3.0)));
        assert_eq!([f.has("t"), f.has("t.answer"), f.has("other")], [true, false, false]);
    }
}
