//! What a handful of samples says.

/// The smallest, the middle and the largest of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) n: usize,
    pub(crate) min: f64,
    /// Of an even number of samples, the mean of the middle two.
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` without samples, or if one is not a number.
    pub(crate) fn of(samples: &[f64]) -> Option<Summary> {
        if samples.iter().any(|s| s.is_nan()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (n, half) = (sorted.len(), sorted.len() / 2);
        let upper = *sorted.get(half)?;
        let median = if n.is_multiple_of(2) { f64::midpoint(sorted[half - 1], upper) } else { upper };
        Some(Summary { n, min: *sorted.first()?, median, max: *sorted.last()? })
    }

    /// `min / median / max`.
    pub(crate) fn show(&self, decimals: usize) -> String {
        let Summary { min, median, max, .. } = self;
        format!("{min:.decimals$} / {median:.decimals$} / {max:.decimals$}")
    }
}

/// The seconds that `advbase` and `advskew` stand for, `times` advbase.
pub(crate) fn interval_ms(times: u32, advbase: u8, advskew: u8) -> f64 {
    f64::from(times * u32::from(advbase)) * 1e3 + f64::from(advskew) * 1e3 / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_middle_two() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        assert_eq!(of(&[3.0, 1.0, 2.0]), Summary { n: 3, min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Summary { n: 4, min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(of(&[-1.5]), Summary { n: 1, min: -1.5, median: -1.5, max: -1.5 });
        assert_eq!(of(&[5.0, 1.0]).median, 3.0);
    }

    #[test]
    fn what_is_no_number_has_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_summary_is_shown_with_as_many_decimals_as_asked_for() {
        let s = Summary::of(&[1.0, 2.25, 10.0]).unwrap();
        assert_eq!((s.show(0), s.show(1)), ("1 / 2 / 10".to_owned(), "1.0 / 2.2 / 10.0".to_owned()));
    }

    #[test]
    fn skew_is_in_256ths_of_a_second() {
        assert_eq!(interval_ms(3, 1, 100), 3390.625);
        assert_eq!(interval_ms(1, 0, 25), 97.65625);
    }
}
