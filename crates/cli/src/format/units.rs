//! Sizes and times for people, digit for digit as Docker prints them.

use gantry_gotext::human_duration;
pub(crate) use gantry_gotext::{bytes_size, human_size};

/// Nanoseconds in a second.
const SECOND_NS: i128 = 1_000_000_000;

/// How long ago a Unix time was.
pub(crate) fn ago(unix_seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{} ago", human_duration(now - i128::from(unix_seconds) * SECOND_NS))
}

/// How long ago a time in RFC 3339 was; nothing if it is malformed.
pub(crate) fn ago_of(time: &str) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    let span = jiff::Timestamp::now().as_nanosecond() - time.as_nanosecond();
    Some(format!("{} ago", human_duration(span)))
}

/// Go's `Time.String` of a Unix time, in the local zone.
pub(crate) fn go_time(unix_seconds: i64) -> String {
    match jiff::Timestamp::from_second(unix_seconds) {
        Ok(time) => {
            let zoned = time.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
        }
        Err(_) => String::new(),
    }
}

/// Go's `Time.String` with its fraction, in UTC as the daemon sends it.
pub(crate) fn go_time_exact(time: jiff::Timestamp) -> String {
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    zoned.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// RFC 3339 of a Unix time, in the local zone: `2026-01-02T03:04:05Z`.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(unix_seconds) else { return String::new() };
    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
    match zoned.offset().seconds() {
        0 => zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}
