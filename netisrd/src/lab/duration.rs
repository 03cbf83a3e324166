//! Spans of time as people write them: `3.4s`, `300ms`, `50us`, `2m`, `1h`,
//! `10d`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Units and their nanoseconds, the longest first; longer names first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(s: &str) -> Result<Span, String> {
        let error = || format!("expected a time such as \"3.4s\", \"300ms\", \"2m\", not {s:?}");
        let at = s.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (number, unit) = s.split_at(at);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(error)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let mut nanos = u128::from(whole) * u128::from(*unit);
        let mut share = u128::from(*unit);
        for digit in part.chars() {
            share /= 10;
            nanos += u128::from(digit.to_digit(10).ok_or_else(error)?) * share;
        }
        u64::try_from(nanos).map(|n| Span(Duration::from_nanos(n))).map_err(|_| error())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |(_, unit): &&(&str, u64)| nanos > 0 && nanos.is_multiple_of(u128::from(*unit));
        // Seconds with a point rather than thousands of milliseconds.
        if nanos > 1_000_000_000 && nanos.is_multiple_of(1_000) && !nanos.is_multiple_of(1_000_000_000) {
            let text = format!("{:.6}", self.0.as_secs_f64());
            return write!(f, "{}s", text.trim_end_matches('0'));
        }
        match UNITS.iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
            None => f.write_str("0s"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_alike() {
        for text in ["3.4s", "300ms", "50us", "7ns", "2m", "1h", "10d", "0s", "1s", "3.390625s", "90s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert_eq!("1.5s".parse::<Span>().unwrap().0, Duration::from_millis(1500));
        assert_eq!("3.390625s".parse::<Span>().unwrap().to_string(), "3.390625s");
        assert_eq!("0.25ms".parse::<Span>().unwrap().to_string(), "250us");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "3", "s", "3x", "-1s", "1.5.5s", "99999999999999999999s", "1s2"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
