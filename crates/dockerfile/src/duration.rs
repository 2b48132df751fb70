//! Durations as Go writes them: `1h2m3.5s`.

use thiserror::Error;

use crate::quote::quoted;

/// Why a text is no duration; the words are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// It is none, or too long.
    #[error("time: invalid duration {}", quoted(.0))]
    Invalid(String),
    /// A number has no unit.
    #[error("time: missing unit in duration {}", quoted(.0))]
    MissingUnit(String),
    /// A unit is none.
    #[error("time: unknown unit {} in duration {}", quoted(.unit), quoted(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole.
        text: String,
    },
}

/// Nanoseconds of a duration.
pub(crate) fn parse_ns(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = unsigned;
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let length =
            after.find(|char: char| char == '.' || char.is_ascii_digit()).unwrap_or(after.len());
        let unit_ns = unit_ns(&after[..length], text)?;
        rest = &after[length..];
        let whole: i128 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total = whole
            .checked_mul(unit_ns)
            .and_then(|ns| ns.checked_add(fraction_ns(fraction, unit_ns)))
            .and_then(|ns| total.checked_add(ns))
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(invalid)?;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit_ns(unit: &str, text: &str) -> Result<i128, DurationError> {
    Ok(match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        unit => {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
    })
}

/// Nanoseconds of the digits after the point, rounded down; no unit has more than 13 digits.
fn fraction_ns(digits: &str, unit_ns: i128) -> i128 {
    let mut scale = unit_ns * 1_000;
    let mut ns = 0;
    for digit in digits.bytes().take(16) {
        ns += scale * i128::from(digit - b'0');
        scale /= 10;
        if scale == 0 {
            break;
        }
    }
    ns / 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("0", Ok(0)),
            ("30s", Ok(30_000_000_000)),
            ("1h2m3.5s", Ok(3_723_500_000_000)),
            ("1.5ms", Ok(1_500_000)),
            (".5s", Ok(500_000_000)),
            ("-1s", Ok(-1_000_000_000)),
            ("+2us", Ok(2_000)),
            ("0.3333333333333333333h", Ok(1_199_999_999_999)),
            ("", Err("time: invalid duration \"\"")),
            ("-", Err("time: invalid duration \"-\"")),
            ("s", Err("time: invalid duration \"s\"")),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5x", Err("time: unknown unit \"x\" in duration \"5x\"")),
            ("9999999999h", Err("time: invalid duration \"9999999999h\"")),
            (
                "99999999999999999999999999999999999999999s",
                Err("time: invalid duration \"99999999999999999999999999999999999999999s\""),
            ),
        ] {
            let got = parse_ns(text).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text:?}");
        }
    }
}
