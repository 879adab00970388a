//! Sizes, rates and durations as an operator writes them: `64KiB`, `50MiB/s`, `2ms`.
//!
//! Each has one way of being written: a whole number and a unit, no blank between. What comes close is
//! refused with the exact text that was probably meant.

use std::fmt;
use std::time::Duration;

/// A size in bytes, at most `i64::MAX` (what a file offset can say).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// A rate in bytes per second, at most `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateBytesPerS(pub u64);

const SIZE_UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

const DURATION_UNITS_US: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000)];

/// Why a text is no size, rate or duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// Not a whole number with a unit; perhaps what was meant.
    Form(Option<String>),
    /// More than the type can hold.
    Overflow,
}

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS, i64::MAX as u64).map(Self).map_err(|error| match error {
            UnitError::Form(_) => UnitError::Form(guess_size(text)),
            overflow => overflow,
        })
    }
}

impl RateBytesPerS {
    /// The number of bytes per second.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, UnitError> {
        let form = || UnitError::Form(guess_rate(text));
        match Bytes::parse(text.strip_suffix("/s").ok_or_else(form)?) {
            Ok(bytes) => Ok(Self(bytes.0)),
            Err(UnitError::Form(_)) => Err(form()),
            Err(UnitError::Overflow) => Err(UnitError::Overflow),
        }
    }
}

/// Reads `30s`, `2ms`, `500us`, `5min`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATION_UNITS_US, u64::MAX).map(Duration::from_micros).map_err(|error| match error {
        UnitError::Form(_) => UnitError::Form(guess_duration(text)),
        overflow => overflow,
    })
}

/// The duration in the largest unit that says it in a whole number.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), &DURATION_UNITS_US)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &SIZE_UNITS))
    }
}

impl fmt::Display for RateBytesPerS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

fn parse(text: &str, units: &[(&str, u64)], max: u64) -> Result<u64, UnitError> {
    let (digits, unit) = split_number(text);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Some(factor), false) = (factor, digits.is_empty()) else { return Err(UnitError::Form(None)) };
    let count: u64 = digits.parse().map_err(|_| UnitError::Overflow)?;
    count.checked_mul(factor).filter(|value| *value <= max).ok_or(UnitError::Overflow)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| value >= factor && value.is_multiple_of(factor);
    let (name, factor) = units.iter().rev().find(|(_, factor)| fits(*factor)).unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

/// The leading ASCII digits, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The size that a text such as `1.5 gb`, `64k` or `4096` most probably means.
fn guess_size(text: &str) -> Option<String> {
    guess(text, &SIZE_UNITS, |unit| match unit {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        "t" | "tb" | "tib" => Some(1 << 40),
        _ => None,
    })
}

fn guess_rate(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let size = lower.trim_end_matches("/s").trim_end_matches("ps").trim_end_matches("/sec");
    guess_size(size).map(|size| format!("{size}/s"))
}

fn guess_duration(text: &str) -> Option<String> {
    guess(text, &DURATION_UNITS_US, |unit| match unit {
        "us" | "µs" | "usec" => Some(1),
        "ms" | "msec" => Some(1_000),
        "" | "s" | "sec" | "second" | "seconds" => Some(1_000_000),
        "m" | "min" | "minute" | "minutes" => Some(60_000_000),
        "h" | "hour" | "hours" => Some(3_600_000_000),
        _ => None,
    })
}

/// Reads `whole[.fraction] unit` loosely; none unless it comes to a whole number of the smallest unit.
fn guess(text: &str, units: &[(&str, u64)], factor_of: impl Fn(&str) -> Option<u64>) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let (whole, rest) = split_number(&lower);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_number);
    let factor = factor_of(rest.trim())?;
    let whole: u64 = whole.parse().ok()?;
    let tenths_power = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let numerator =
        if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.checked_mul(factor)? };
    if !numerator.is_multiple_of(tenths_power) {
        return None;
    }
    let value = whole.checked_mul(factor)?.checked_add(numerator / tenths_power)?;
    (value <= i64::MAX as u64).then(|| show(value, units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(text: &str) -> Option<String> {
        match Bytes::parse(text) {
            Err(UnitError::Form(guess)) => guess,
            other => panic!("{text} should be refused for its form, was {other:?}"),
        }
    }

    #[test]
    fn sizes_take_binary_units() {
        assert_eq!(Bytes::parse("64KiB"), Ok(Bytes::kib(64)));
        assert_eq!(Bytes::parse("512B"), Ok(Bytes(512)));
        assert_eq!(Bytes::parse("2TiB"), Ok(Bytes(2 << 40)));
        assert_eq!(Bytes::parse("0GiB"), Ok(Bytes(0)));
    }

    #[test]
    fn near_misses_are_guessed() {
        assert_eq!(guessed("1GB").as_deref(), Some("1GiB"));
        assert_eq!(guessed("1.5 gib").as_deref(), Some("1536MiB"));
        assert_eq!(guessed("65536").as_deref(), Some("64KiB"));
        assert_eq!(guessed("64k").as_deref(), Some("64KiB"));
        assert_eq!(guessed("-1GiB"), None);
        assert_eq!(guessed("lots"), None);
        assert_eq!(guessed(""), None);
        assert_eq!(guessed("1.00000000000000000000000001GiB"), None);
    }

    #[test]
    fn too_much_is_an_overflow() {
        assert_eq!(Bytes::parse("8388608TiB"), Err(UnitError::Overflow));
        assert_eq!(Bytes::parse("99999999999999999999999KiB"), Err(UnitError::Overflow));
        assert_eq!(Bytes::parse("8388607TiB"), Ok(Bytes(8_388_607 << 40)));
    }

    #[test]
    fn rates_are_sizes_per_second() {
        assert_eq!(RateBytesPerS::parse("50MiB/s"), Ok(RateBytesPerS(50 << 20)));
        assert_eq!(RateBytesPerS::parse("50MiB"), Err(UnitError::Form(Some("50MiB/s".into()))));
        assert_eq!(RateBytesPerS::parse("50MBps"), Err(UnitError::Form(Some("50MiB/s".into()))));
        assert_eq!(RateBytesPerS::parse("fast"), Err(UnitError::Form(None)));
    }

    #[test]
    fn durations_have_five_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("30"), Err(UnitError::Form(Some("30s".into()))));
        assert_eq!(parse_duration("1.5s"), Err(UnitError::Form(Some("1500ms".into()))));
        assert_eq!(parse_duration("99999999999h"), Err(UnitError::Overflow));
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        assert_eq!(Bytes(0).to_string(), "0B");
        assert_eq!(Bytes(1536).to_string(), "1536B");
        assert_eq!(Bytes::mib(1024).to_string(), "1GiB");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(120)), "2min");
    }
}
