//! Sizes, rates and durations as people write and read them. Powers of 1024, named so.

use std::time::Duration;

/// What a number may end with, and how many bytes that means.
const SIZE_SUFFIXES: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

const TIME_SUFFIXES: &[(&str, u64)] =
    &[("", 1), ("s", 1), ("m", 60), ("min", 60), ("h", 3_600), ("d", 86_400)];

/// Digits after the point that still count.
const FRACTION_DIGITS_MAX: usize = 9;

/// A limit on a rate in bytes per second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit(pub Option<u64>);

/// Reads a size: `256KiB`, `1.5M`, `16384`. One letter means a power of 1024, `KB` means 1000.
///
/// # Errors
/// In words, for the user.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let scaled = parse_scaled(text, SIZE_SUFFIXES, 1)
        .ok_or_else(|| format!("`{text}` is not a size such as 16384, 256KiB or 1.5MiB"))?;
    u64::try_from(scaled).map_err(|_| format!("`{text}` is more than 64 bits of bytes"))
}

/// Reads a rate: a size, with or without `/s`; 0 is no limit.
///
/// # Errors
/// In words, for the user.
pub fn parse_rate(text: &str) -> Result<RateLimit, String> {
    let rate = parse_size(text.strip_suffix("/s").unwrap_or(text))?;
    Ok(RateLimit(Some(rate).filter(|&rate| rate > 0)))
}

/// Reads a duration: `90`, `90s`, `1.5h`, `2d`; seconds where no unit is given.
///
/// # Errors
/// In words, for the user.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_scaled(text, TIME_SUFFIXES, 1_000)
        .and_then(|millis| u64::try_from(millis).ok())
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration such as 90s, 10m or 1.5h"))
}

/// `text` as a number times its suffix times `scale`, rounded down; `None` if it is none.
fn parse_scaled(text: &str, suffixes: &[(&str, u64)], scale: u64) -> Option<u128> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let suffix = suffix.trim_start().to_ascii_lowercase();
    let unit = suffixes.iter().find(|(name, _)| *name == suffix)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let unit = u128::from(unit) * u128::from(scale);
    let whole = u128::from(whole.parse::<u64>().ok()?).checked_mul(unit)?;
    let fraction = match fraction.len() {
        0 => 0,
        digits => u128::from(fraction.parse::<u64>().ok()?) * unit / 10u128.pow(digits as u32),
    };
    whole.checked_add(fraction)
}

/// A size to read: `512 B`, `1.5 KiB`, `256.0 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A rate to read: `1.5 MiB/s`.
#[must_use]
pub fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// A duration to read: `12.3 s`, `4m 05s`, `3h 20m`, `2d 04h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("16384", 16_384),
            ("500K", 512_000),
            ("2MiB", 2 << 20),
            ("256 KiB", 256 << 10),
            ("1.5m", 3 << 19),
            ("0.5KiB", 512),
            ("3kB", 3_000),
            ("4GiB", 4 << 30),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1..5M", "1.2.3", ".5M", "5 parsecs", "1e3", "99999999999999T"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        assert_eq!(parse_rate("0"), Ok(RateLimit(None)));
        assert_eq!(parse_rate("2MiB/s"), Ok(RateLimit(Some(2 << 20))));
        assert_eq!(parse_rate("1000"), Ok(RateLimit(Some(1_000))));
        assert!(parse_rate("/s").is_err());
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis, shown) in [
            ("90", 90_000, "1m 30s"),
            ("0.25s", 250, "0.2 s"),
            ("10m", 600_000, "10m 00s"),
            ("1.5h", 5_400_000, "1h 30m"),
            ("2d", 172_800_000, "2d 00h"),
        ] {
            let read = parse_duration(text).expect(text);
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(duration(read), shown);
        }
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("99999999999999999d").is_err());
    }

    #[test]
    fn sizes_never_show_four_digits_of_a_binary_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (256 << 20, "256.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(rate(1 << 20), "1.0 MiB/s");
    }
}
