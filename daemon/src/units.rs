//! Numbers as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// `1.5 GiB`; whole numbers without a fraction (`512 MiB`).
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else if value < 10.0 {
        format!("{value:.2} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units are enough to plan by.
pub fn span(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let parts = if d > 0 {
        [(d, "d"), (h, "h")]
    } else if h > 0 {
        [(h, "h"), (m, "min")]
    } else {
        [(m, "min"), (s, "s")]
    };
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

/// A Unix time in milliseconds as `2026-11-21T01:45:09.061Z`. Later than the year 9999 is the end of that
/// year.
pub fn instant(time_ms: u64) -> String {
    const YEAR_9999_END_MS: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(time_ms.min(YEAR_9999_END_MS));
    humantime::format_rfc3339_millis(time).to_string()
}

/// `1 member`, `2 members`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_three_figures() {
        let shown: Vec<String> =
            [0, 512, 1024, 1536, 65536, 1 << 30, (1 << 30) + (1 << 28), 1_999_999_999_999, u64::MAX]
                .map(size)
                .to_vec();
        let wanted =
            ["0 B", "512 B", "1 KiB", "1.50 KiB", "64 KiB", "1 GiB", "1.25 GiB", "1.82 TiB", "16384 PiB"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn spans_show_two_units() {
        assert_eq!(
            [0, 59, 60, 80, 3600, 7500, 86_400 * 3 + 3600 * 4 + 59].map(span),
            ["0 s", "59 s", "1 min", "1 min 20 s", "1 h", "2 h 5 min", "3 d 4 h"]
        );
    }

    #[test]
    fn instants_are_utc_with_milliseconds() {
        assert_eq!(instant(1_795_225_509_061), "2026-11-21T01:45:09.061Z");
        assert_eq!(instant(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
