//! The syntaxes of single values: numbers, sizes, durations, filters.

/// Go's `strconv.ParseBool`.
pub(crate) fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(syntax("ParseBool", text)),
    }
}

fn syntax(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: invalid syntax", gantry_gotext::quote(text))
}

fn range(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: value out of range", gantry_gotext::quote(text))
}

/// Go's `strconv.ParseInt` with base 0.
pub(crate) fn go_int(text: &str, bits: u32) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = based(digits).map_err(|digits| match digits {
        Digits::Bad => syntax("ParseInt", text),
        Digits::Large => range("ParseInt", text),
    })?;
    let value = if negative { -i128::from(value) } else { i128::from(value) };
    let limit = 1_i128 << (bits - 1);
    if value < -limit || value >= limit {
        return Err(range("ParseInt", text));
    }
    i64::try_from(value).map_err(|_| range("ParseInt", text))
}

/// Go's `strconv.ParseUint` with base 0.
pub(crate) fn go_uint(text: &str, bits: u32) -> Result<u64, String> {
    let value = based(text).map_err(|digits| match digits {
        Digits::Bad => syntax("ParseUint", text),
        Digits::Large => range("ParseUint", text),
    })?;
    if bits < 64 && value >> bits != 0 { Err(range("ParseUint", text)) } else { Ok(value) }
}

enum Digits {
    Bad,
    Large,
}

fn based(text: &str) -> Result<u64, Digits> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        Some(two) if two.starts_with('0') => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(Digits::Bad);
    }
    u64::from_str_radix(digits, radix).map_err(|_| Digits::Large)
}

/// A size as go-units reads it: `64m`, `1.5g`, `100`, `1MiB`; all units are binary.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    if text.is_empty() || text == "-1" {
        return Ok(if text.is_empty() { 0 } else { -1 });
    }
    let invalid = || format!("invalid size: '{text}'");
    let split = text.rfind(|c: char| c.is_ascii_digit() || c == '.').ok_or_else(invalid)?;
    let (number, unit) = text.split_at(split + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value: f64 = number.parse().map_err(|_| invalid())?;
    if value < 0.0 || !value.is_finite() || number.starts_with('+') {
        return Err(invalid());
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(format!("invalid suffix: '{unit}'")),
    };
    let size = value * 1024_f64.powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "float casts saturate, as Go's limit does")]
    Ok(size as i64)
}

/// `--cpus`: a decimal or a fraction in 1e-9 CPUs.
pub(crate) fn nano_cpus(text: &str) -> Result<i64, String> {
    let bad = || format!("failed to parse {text} as a rational number");
    let precise = || "value is too precise".to_owned();
    if let Some((above, below)) = text.split_once('/') {
        let above: i128 = above.parse().map_err(|_| bad())?;
        let below: i128 = below.parse().map_err(|_| bad())?;
        if below == 0 {
            return Err(bad());
        }
        let scaled = above.checked_mul(1_000_000_000).ok_or_else(bad)?;
        if scaled % below != 0 {
            return Err(precise());
        }
        return i64::try_from(scaled / below).map_err(|_| bad());
    }
    if text.is_empty() {
        return Ok(0);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !plain(whole) || !plain(part) || (whole.is_empty() && part.is_empty()) {
        return Err(bad());
    }
    let part = part.trim_end_matches('0');
    if part.len() > 9 {
        return Err(precise());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| bad())?;
    let nanos = whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(part));
    nanos.map(|nanos| if negative { -nanos } else { nanos }).ok_or_else(bad)
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    gantry_gotext::parse_duration(text).map_err(|error| error.to_string())
}

/// A filter, `name=value`; the name in lower case.
pub(crate) fn filter(text: &str) -> Result<Option<(String, String)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.split_once('=') {
        Some((name, value)) => Ok(Some((name.trim().to_lowercase(), value.trim().to_owned()))),
        None => Err("invalid argument \"".to_owned()
            + text
            + "\": bad format of filter (expected name=value)"),
    }
    .map_err(|_: String| "bad format of filter (expected name=value)".to_owned())
}

/// Splits one line of comma-separated values with double quotes, as Go's `encoding/csv` does.
pub(crate) fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|(_, c)| *c == '"') => {
                        field.push('"');
                        chars.next();
                    }
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => field.push(c),
                    None => {
                        let column = text.len() + 1;
                        return Err(format!(
                            "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
                        ));
                    }
                }
            };
            fields.push(field);
            rest = &quoted[end..];
            match rest.strip_prefix(',') {
                Some(tail) => rest = tail,
                None if rest.is_empty() => return Ok(fields),
                None => {
                    let column = text.len() - rest.len() + 1;
                    return Err(format!(
                        "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
                    ));
                }
            }
            continue;
        }
        let (field, tail) = match rest.split_once(',') {
            Some((field, tail)) => (field, Some(tail)),
            None => (rest, None),
        };
        if let Some(at) = field.find('"') {
            let column = text.len() - rest.len() + at + 1;
            return Err(format!(
                "parse error on line 1, column {column}: bare \" in non-quoted-field"
            ));
        }
        fields.push(field.to_owned());
        match tail {
            Some(tail) => rest = tail,
            None => return Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_and_times() {
        for (text, want) in [
            ("64m", Ok(64 << 20)),
            ("1.5g", Ok(3 << 29)),
            ("100", Ok(100)),
            ("1 MiB", Ok(1 << 20)),
            ("-1", Ok(-1)),
            ("abc", Err("invalid size: 'abc'".to_owned())),
            ("5x", Err("invalid suffix: 'x'".to_owned())),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
        for (text, want) in [
            ("1h2m3.5s", Some(3_723_500_000_000)),
            ("-1ms", Some(-1_000_000)),
            ("0", Some(0)),
            ("5", None),
            ("x", None),
            ("999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), want, "{text}");
        }
        assert_eq!(nano_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(nano_cpus("1/4"), Ok(250_000_000));
        assert!(nano_cpus("x").is_err() && nano_cpus("0.0000000001").is_err());
        assert_eq!(go_int("0x10", 64), Ok(16));
        assert_eq!(csv("a,\"b,c\",d"), Ok(vec!["a".into(), "b,c".into(), "d".into()]));
        assert!(csv("a,\"b").is_err());
    }
}
