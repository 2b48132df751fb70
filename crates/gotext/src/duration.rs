//! Go's duration texts, `1h2m3s`.

use crate::quote::quote;

/// A text that is no duration, in the words of Go's `time.ParseDuration`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number with a unit, or too long.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A unit that Go does not have.
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit {
        /// Unit.
        unit: String,
        /// Whole text.
        text: String,
    },
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Reads `1h2m3s`, `1.5h`, `-300ms`, `0` into ns.
///
/// # Errors
/// [`DurationError`] for other texts and for more than 292 years.
///
/// Source: Go's package `time`, function `ParseDuration`.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns = 0_u64;
    while !rest.is_empty() {
        let (term_ns, after) = parse_term(rest, text)?;
        total_ns = total_ns.checked_add(term_ns).ok_or_else(invalid)?;
        rest = after;
    }
    let signed = i128::from(total_ns) * if negative { -1 } else { 1 };
    i64::try_from(signed).map_err(|_| invalid())
}

/// Writes ns as Go does: `1h2m3s`, `1.5s`, `300ms`, `0s`.
///
/// Source: Go's package `time`, method `Duration.String`.
#[must_use]
pub fn format_duration(duration_ns: i64) -> String {
    let ns = duration_ns.unsigned_abs();
    let sign = if duration_ns < 0 { "-" } else { "" };
    if ns == 0 {
        return "0s".to_owned();
    }
    if ns < SECOND {
        let (unit_ns, unit) = match ns {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{unit}", decimal(ns, unit_ns));
    }
    let seconds = decimal(ns % MINUTE, SECOND);
    let minutes = ns / MINUTE % 60;
    match ns / HOUR {
        0 if minutes == 0 => format!("{sign}{seconds}s"),
        0 => format!("{sign}{minutes}m{seconds}s"),
        hours => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Reads one number with its unit; gives ns and what follows.
fn parse_term<'a>(term: &'a str, text: &str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let digits = |from: &'a str| {
        let end = from.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(from.len());
        from.split_at(end)
    };
    let (whole, after) = digits(term);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let end = after.bytes().position(|b| b == b'.' || b.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    let unit_ns = match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let whole_ns = whole.checked_mul(unit_ns).ok_or_else(invalid)?;
    let total_ns = whole_ns.checked_add(fraction_ns(fraction, unit_ns)).ok_or_else(invalid)?;
    Ok((total_ns, after))
}

/// ns in the digits behind the point, rounded down. Digits below 1e-18 cannot make one.
fn fraction_ns(digits: &str, unit_ns: u64) -> u64 {
    let (mut value, mut scale) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(value * u128::from(unit_ns) / scale).unwrap_or(u64::MAX)
}

/// `value / unit` with as many decimals as it needs; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// A span of time in Docker's words (`About a minute`), from nanoseconds.
#[must_use]
pub fn human_duration(ns: i128) -> String {
    let seconds = ns / i128::from(SECOND);
    let minutes = seconds / 60;
    // Hours are rounded to the nearest, so that 90 minutes are two; all else is cut.
    let hours = (ns + 1800 * i128::from(SECOND)).div_euclid(i128::from(HOUR));
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", ns / i128::from(HOUR) / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, want) in [
            ("0", 0),
            ("1h2m3s", 3_723_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("-300ms", -300_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-2562047h47m16.854775808s", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_go_words() {
        for (text, want) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            (".s", r#"time: invalid duration ".s""#),
            ("3", r#"time: missing unit in duration "3""#),
            ("3d", r#"time: unknown unit "d" in duration "3d""#),
            ("9999999h", r#"time: invalid duration "9999999h""#),
            ("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#),
        ] {
            assert_eq!(parse_duration(text).map_err(|e| e.to_string()), Err(want.to_owned()));
        }
    }

    #[test]
    fn durations_are_written() {
        for (ns, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format_duration(ns), want, "{ns}");
            assert_eq!(parse_duration(want), Ok(ns), "{want}");
        }
    }

    #[test]
    fn spans_in_words() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds * i128::from(SECOND)), want, "{seconds}");
        }
    }
}
