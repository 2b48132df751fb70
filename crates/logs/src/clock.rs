//! Times as logs hold them: nanoseconds since 1970 in memory, RFC 3339 in text.

use std::time::{SystemTime, UNIX_EPOCH};

const NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Now, in nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Writes times in UTC as Go's `RFC3339Nano` does: zeros at the end of the fraction are left out.
///
/// Lines come many to a second, so the part down to the second is kept.
#[derive(Debug)]
pub(crate) struct TimeText {
    second: i64,
    prefix: [u8; 19],
}

impl TimeText {
    pub(crate) fn new() -> TimeText {
        TimeText { second: i64::MIN, prefix: *b"0000-00-00T00:00:00" }
    }

    pub(crate) fn append(&mut self, time_ns: i64, out: &mut Vec<u8>) {
        let second = time_ns.div_euclid(NS);
        if second != self.second {
            self.prefix = second_text(second);
            self.second = second;
        }
        out.extend_from_slice(&self.prefix);
        append_fraction(time_ns.rem_euclid(NS), out);
        out.push(b'Z');
    }
}

/// Reads an RFC 3339 time with any offset.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' {
        return None;
    }
    let number = |from: usize, to: usize| digits(&text[from..to]);
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let clock = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let mut rest = &text[19..];
    let mut fraction = 0;
    if rest[0] == b'.' {
        let end = rest[1..].iter().position(|b| !b.is_ascii_digit()).map(|at| at + 1)?;
        fraction = digits(&rest[1..end.min(10)])?;
        for _ in end.min(10)..10 {
            fraction *= 10;
        }
        rest = &rest[end..];
    }
    let seconds = days * DAY_S + clock - offset_s(rest)?;
    seconds.checked_mul(NS)?.checked_add(fraction)
}

fn offset_s(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = digits(&[*h1, *h2])? * 3600 + digits(&[*m1, *m2])? * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0_i64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

fn second_text(second: i64) -> [u8; 19] {
    let (year, month, day) = civil_from_days(second.div_euclid(DAY_S));
    let clock = second.rem_euclid(DAY_S);
    let mut text = *b"0000-00-00T00:00:00";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], clock / 3600);
    put(&mut text[14..16], clock / 60 % 60);
    put(&mut text[17..19], clock % 60);
    text
}

fn append_fraction(mut ns: i64, out: &mut Vec<u8>) {
    if ns == 0 {
        return;
    }
    let mut width = 9;
    while ns % 10 == 0 {
        ns /= 10;
        width -= 1;
    }
    let mut text = [b'0'; 9];
    put(&mut text[..width], ns);
    out.push(b'.');
    out.extend_from_slice(&text[..width]);
}

fn put(field: &mut [u8], mut value: i64) {
    for place in field.iter_mut().rev() {
        *place = b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or(0);
        value /= 10;
    }
}

/// Days since 1970 to a date of the proleptic Gregorian calendar. Years are counted from March,
/// so that the leap day is the last of its year, in eras of 400 years.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{TimeText, parse};

    #[test]
    fn text_and_back() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_600_000_000_123_456_789, "2020-09-13T12:26:40.123456789Z"),
            (1_600_000_000_120_000_000, "2020-09-13T12:26:40.12Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59Z"),
        ] {
            let mut out = Vec::new();
            TimeText::new().append(ns, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
    }

    #[test]
    fn offsets_and_nonsense() {
        assert_eq!(parse(b"1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse(b"1969-12-31T23:00:00.5-01:00"), Some(500_000_000));
        for bad in ["", "1970-01-01T00:00:00", "1970-01-01T00:00:00.", "x970-01-01T00:00:00Z"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
