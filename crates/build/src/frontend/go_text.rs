//! Values as Go's `fmt` prints them: history entries have them so, and people's tools read those.

use std::fmt::Write;

use gantry_oci::image::Healthcheck;

const SECOND_NS: i64 = 1_000_000_000;

/// `%q` of a list: `["a" "b"]`.
pub(super) fn quoted_list(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", quoted.join(" "))
}

/// `%v` of a list: `[a b]`.
pub(super) fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `%q` of a text.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            letter if letter.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(letter));
            }
            letter if !is_printed(letter) => {
                let number = u32::from(letter);
                let _ = if number <= 0xffff {
                    write!(out, "\\u{number:04x}")
                } else {
                    write!(out, "\\U{number:08x}")
                };
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Letters, marks, numbers, punctuation, symbols, and the ASCII space.
fn is_printed(letter: char) -> bool {
    let private = matches!(u32::from(letter), 0xe000..=0xf8ff | 0xf_0000..);
    let format = matches!(u32::from(letter), 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff);
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || private || format)
}

/// `%+v` of a health check.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        list(&check.test),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries
    )
}

/// A `time.Duration` in ns: `1h0m0s`, `1.5s`, `20ms`, `0s`.
pub(super) fn duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let second = SECOND_NS.unsigned_abs();
    if ns < second {
        let (unit, name) = match ns {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(ns, unit));
    }
    let (minutes, rest) = (ns / (60 * second), ns % (60 * second));
    let mut out = sign.to_owned();
    if minutes >= 60 {
        let _ = write!(out, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(out, "{}m", minutes % 60);
    }
    let _ = write!(out, "{}s", decimal(rest, second));
    out
}

/// `value / unit` without zeros at its end.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let digits = usize::try_from(unit.ilog10()).unwrap_or_default();
    let part = format!("{part:0digits$}");
    format!("{whole}.{}", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (ns, want) in [
            (0, "0s"),
            (2, "2ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_500_000_000, "1.5s"),
            (60 * SECOND_NS, "1m0s"),
            (90 * 60 * SECOND_NS + 1, "1h30m0.000000001s"),
            (-5 * SECOND_NS, "-5s"),
        ] {
            assert_eq!(duration(ns), want, "{ns}");
        }
    }

    #[test]
    fn texts() {
        for (text, want) in [
            ("a b", r#""a b""#),
            ("a\"\\\n\t", r#""a\"\\\n\t""#),
            ("\x01\x7f", r#""\x01\x7f""#),
            ("é日", "\"é日\""),
            ("\u{a0}\u{feff}", r#""\u00a0\ufeff""#),
        ] {
            assert_eq!(quoted(text), want, "{text:?}");
        }
        let words = ["a".to_owned(), "b c".to_owned()];
        assert_eq!(
            (quoted_list(&words).as_str(), list(&words).as_str()),
            (r#"["a" "b c"]"#, "[a b c]")
        );
    }
}
