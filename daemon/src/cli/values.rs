//! Values of options: sizes, rates and times, written as in the YAML.

/// `64KiB`, `1GiB`: bytes.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    quantity(text, &UNITS).ok_or_else(|| "write a size such as 64KiB, 256MiB or 1GiB".to_owned())
}

/// `50MiB/s`: bytes per second. `unlimited` is 0, as in the RPC.
pub fn rate(text: &str) -> Result<u64, String> {
    if text == "unlimited" {
        return Ok(0);
    }
    let per_second = text.strip_suffix("/s").and_then(|size| size_bytes(size).ok()).filter(|rate| *rate > 0);
    per_second.ok_or_else(|| "write a rate such as 50MiB/s, or unlimited".to_owned())
}

/// `500ms`, `10s`, `1min`: milliseconds.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("min", 60_000), ("s", 1000), ("h", 3_600_000)];
    quantity(text, &UNITS).ok_or_else(|| "write a time such as 500ms, 10s or 1min".to_owned())
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So many milliseconds.
    Ms(u64),
    /// For ever.
    Never,
}

impl Wait {
    /// None: for ever.
    pub fn ms(self) -> Option<u64> {
        match self {
            Wait::Ms(ms) => Some(ms),
            Wait::Never => None,
        }
    }
}

/// A time, or `never`.
pub fn wait(text: &str) -> Result<Wait, String> {
    if text == "never" { Ok(Wait::Never) } else { Ok(Wait::Ms(duration_ms(text)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_times() {
        assert_eq!(size_bytes("64KiB"), Ok(65_536));
        assert_eq!(size_bytes("2TiB"), Ok(2 << 40));
        assert_eq!(rate("50MiB/s"), Ok(50 << 20));
        assert_eq!(rate("unlimited"), Ok(0));
        assert_eq!(duration_ms("10s"), Ok(10_000));
        assert_eq!(duration_ms("250ms"), Ok(250));
        assert_eq!(duration_ms("2min"), Ok(120_000));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_an_example() {
        for text in ["", "64", "KiB", "64 KiB", "64kb", "-1KiB", "1.5GiB", "99999999999999TiB"] {
            assert!(size_bytes(text).unwrap_err().contains("64KiB"), "{text}");
        }
        for text in ["50MiB", "0KiB/s", "/s", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["10", "s", "10 s", "1d"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
