//! Sizes and times for people, digit for digit as Docker prints them.

use gantry_gotext::human_duration;

/// Nanoseconds in a second.
const SECOND_NS: i128 = 1_000_000_000;

/// Decimal size with three digits: `1.98MB`.
pub(crate) fn human_size(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], digits)
}

/// Binary size with four digits: `23.54GiB`.
pub(crate) fn bytes_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], 4)
}

fn scaled(mut size: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while size >= base && unit < units.len() - 1 {
        size /= base;
        unit += 1;
    }
    format!("{}{}", general(size, digits), units[unit])
}

/// C's `%.Ng`.
fn general(number: f64, digits: usize) -> String {
    let text = format!("{number:.*e}", digits.saturating_sub(1));
    let power = text.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if power < -4 || power >= limit {
        let mantissa = trim(text.split_once('e').map_or(text.as_str(), |(m, _)| m));
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.abs());
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_units() {
        for (bytes, want) in [(0.0, "0B"), (1_983_000.0, "1.98MB"), (999.0, "999B"), (1e9, "1GB")] {
            assert_eq!(human_size(bytes, 3), want);
        }
        assert_eq!(human_size(1_983_280.0, 4), "1.983MB");
        assert_eq!(bytes_size(25_276_502_016.0), "23.54GiB");
    }
}
