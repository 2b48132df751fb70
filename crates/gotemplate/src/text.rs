//! Strings in Go's way: unquoting, printing values, JSON.

use std::fmt::Write as _;

use crate::value::Value;

/// Reads a Go string literal with its quotes; nothing if it is malformed.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        return raw.strip_suffix('`').map(|text| text.replace('\r', ""));
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let code = match chars.next()? {
            'n' => u32::from('\n'),
            't' => u32::from('\t'),
            'r' => u32::from('\r'),
            'a' => 7,
            'b' => 8,
            'v' => 11,
            'f' => 12,
            '\\' => u32::from('\\'),
            '"' => u32::from('"'),
            'x' => {
                bytes.push(u8::try_from(digits(&mut chars, 2, 16)?).ok()?);
                continue;
            }
            'u' => digits(&mut chars, 4, 16)?,
            'U' => digits(&mut chars, 8, 16)?,
            first @ '0'..='7' => {
                let low = digits(&mut chars, 2, 8)?;
                bytes.push(u8::try_from(first.to_digit(8)? * 64 + low).ok()?);
                continue;
            }
            _ => return None,
        };
        bytes.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0, |sum, _| Some(sum * radix + chars.next()?.to_digit(radix)?))
}

/// JSON of a value on one line, as Docker's `json` function prints it.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Missing | Value::Nil | Value::Method(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => Json::Null,
        },
        Value::Float(value) => {
            serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number)
        }
        Value::Str(value) => Json::String(value.clone()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(map) => {
            Json::Object(map.entries.iter().map(|(key, v)| (key.clone(), to_json(v))).collect())
        }
        Value::Struct(inner) => inner.json.clone().unwrap_or_else(|| {
            Json::Object(inner.fields.iter().map(|(key, v)| (key.clone(), to_json(v))).collect())
        }),
    }
}

/// Escapes JSON text as Go's encoder does by default, so that HTML may hold it.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // These stand inside strings only, so the text need not be parsed again.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Prints a value as Go's `%v` does.
pub(crate) fn print(value: &Value) -> String {
    match value {
        Value::Missing => "<no value>".into(),
        Value::Nil => "<nil>".into(),
        Value::Method(_) => value.type_name(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value, 21),
        Value::Str(value) => value.clone(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(print_inner).collect::<Vec<_>>().join(" "))
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, v)| format!("{key}:{}", print_inner(v)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        Value::Struct(inner) => match &inner.text {
            Some(text) => text.clone(),
            None => {
                let fields = inner.fields.iter().map(|(_, v)| print_inner(v));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(" "))
            }
        },
    }
}

/// Inside another value nothing is "no value": it is a nil interface.
fn print_inner(value: &Value) -> String {
    if *value == Value::Missing { "<nil>".into() } else { print(value) }
}

/// The shortest text that reads back as `value`, with an exponent from 10^`large` on.
pub(crate) fn float(value: f64, large: i32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    if exponent < -4 || exponent >= large {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}
