//! Points in time as clients write them.

use std::time::{SystemTime, UNIX_EPOCH};

use gantry_gotext::parse_duration;

use crate::error::ApiError;

const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds since 1970, now.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Reads `seconds[.nanoseconds]`, as `since` and `until` come; empty is no time.
pub(crate) fn parse_unix(text: &str) -> Result<Option<i64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || ApiError::invalid(format!("invalid timestamp: {text}"));
    unix_ns(text).ok_or_else(invalid).map(Some)
}

/// Reads the value of an `until` filter: a duration before now, RFC 3339 with or without time and
/// zone, or seconds since 1970.
pub(crate) fn parse_moment(text: &str, now_ns: i64) -> Result<i64, ApiError> {
    if let Some(ns) = unix_ns(text) {
        return Ok(ns);
    }
    if let Ok(before) = parse_duration(text) {
        return Ok(now_ns.saturating_sub(before));
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let local = || {
        let civil = text
            .parse::<jiff::civil::DateTime>()
            .ok()
            .or_else(|| text.parse::<jiff::civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)))?;
        civil.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    };
    zoned.or_else(local).and_then(|moment| i64::try_from(moment.as_nanosecond()).ok()).ok_or_else(
        || ApiError::invalid(format!("failed to parse value as time or duration: \"{text}\"")),
    )
}

fn unix_ns(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 9 || !digits(fraction) || !digits(seconds.trim_start_matches('-')) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.checked_mul(SECOND_NS)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        const NOW: i64 = 1_700_000_000 * SECOND_NS;
        for (text, want) in [
            ("1600000000", Some(1_600_000_000 * SECOND_NS)),
            ("1600000000.000000005", Some(1_600_000_000 * SECOND_NS + 5)),
            ("1600000000.5", Some(1_600_000_000 * SECOND_NS + 500_000_000)),
            ("10m", Some(NOW - 600 * SECOND_NS)),
            ("1h30m", Some(NOW - 5_400 * SECOND_NS)),
            ("2020-09-13T12:26:40Z", Some(1_600_000_000 * SECOND_NS)),
            ("2020-09-13T14:26:40+02:00", Some(1_600_000_000 * SECOND_NS)),
            ("yesterday", None),
            ("1.x", None),
        ] {
            assert_eq!(parse_moment(text, NOW).ok(), want, "{text}");
        }
        assert!(parse_moment("2020-09-13", NOW).is_ok());
        assert_eq!(parse_unix(""), Ok(None));
        assert!(parse_unix("abc").is_err());
    }
}
