//! The functions that a template may call.

use gantry_gotext::quote;
use std::cmp::Ordering;

use crate::text::{escape_json, print, to_json};
use crate::value::Value;
use crate::verbs::sprintf;

/// Which functions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Functions {
    /// Go's own and Docker's.
    Docker,
    /// The same names for a table's header row: those that would change a text leave it alone.
    Header,
}

/// Name, fewest and most arguments.
const KNOWN: &[(&str, usize, usize)] = &[
    ("and", 1, usize::MAX),
    ("or", 1, usize::MAX),
    ("not", 1, 1),
    ("eq", 1, usize::MAX),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("len", 1, 1),
    ("index", 1, usize::MAX),
    ("slice", 1, 4),
    ("print", 0, usize::MAX),
    ("printf", 1, usize::MAX),
    ("println", 0, usize::MAX),
    ("html", 0, usize::MAX),
    ("js", 0, usize::MAX),
    ("urlquery", 0, usize::MAX),
    ("call", 1, usize::MAX),
    ("json", 1, 1),
    ("split", 2, 2),
    ("join", 2, 2),
    ("title", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("pad", 3, 3),
    ("truncate", 2, 2),
];

/// Longest padding that `pad` and a width in `printf` may ask for.
pub(crate) const MAX_PADDING: usize = 10_000;

impl Functions {
    pub(crate) fn contains(self, name: &str) -> bool {
        KNOWN.iter().any(|(known, ..)| *known == name)
    }

    /// Go's words when `count` arguments are not what `name` takes.
    pub(crate) fn wrong_count(self, name: &str, count: usize) -> Option<String> {
        let (_, fewest, most) = KNOWN.iter().find(|(known, ..)| *known == name)?;
        let want = match (count < *fewest, count > *most, fewest == most) {
            (false, false, _) => return None,
            (_, _, true) => fewest.to_string(),
            (true, ..) => format!("at least {fewest}"),
            _ => format!("at most {most}"),
        };
        Some(format!("wrong number of args for {name}: want {want} got {count}"))
    }
}

type Answer = Result<Value, String>;

/// Calls `name`, whose number of arguments has been checked.
pub(crate) fn call(name: &str, set: Functions, args: &[Value]) -> Answer {
    if set == Functions::Header
        && matches!(name, "json" | "title" | "lower" | "upper" | "truncate" | "pad")
    {
        return Ok(args[0].clone());
    }
    match name {
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "eq" => equal_any(args),
        "ne" => equal(&args[0], &args[1]).map(|same| Value::Bool(!same)),
        "lt" | "le" | "gt" | "ge" => {
            let order = compare(&args[0], &args[1])?;
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        "len" => length(&args[0]),
        "index" => index(&args[0], &args[1..]),
        "slice" => slice(&args[0], &args[1..]),
        "print" => Ok(Value::Str(spaced(args))),
        "println" => Ok(Value::Str(lined(args))),
        "printf" => sprintf(&string(&args[0], "string")?, &args[1..]).map(Value::Str),
        "html" => Ok(Value::Str(escape_html(&text_of(args)))),
        "js" => Ok(Value::Str(escape_js(&text_of(args)))),
        "urlquery" => Ok(Value::Str(escape_query(&text_of(args)))),
        "call" => Err(format!("non-function of type {}", args[0].type_name())),
        "json" => {
            let text = to_json(&args[0]).to_string();
            // Go's `json.Marshal` inside a `MarshalJSON` method escapes; Docker's function does not.
            let marshals = matches!(&args[0], Value::Struct(inner) if inner.marshals);
            Ok(Value::Str(if marshals { escape_json(&text) } else { text }))
        }
        "split" => {
            let (text, separator) = (string(&args[0], "string")?, string(&args[1], "string")?);
            let parts: Vec<Value> = if separator.is_empty() {
                text.chars().map(|c| Value::Str(c.into())).collect()
            } else {
                text.split(separator.as_str()).map(Value::from).collect()
            };
            Ok(Value::List(parts))
        }
        "join" => join(&args[0], &args[1]),
        "title" => Ok(Value::Str(title(&string(&args[0], "string")?))),
        "lower" => Ok(Value::Str(string(&args[0], "string")?.to_lowercase())),
        "upper" => Ok(Value::Str(string(&args[0], "string")?.to_uppercase())),
        "pad" => {
            let text = string(&args[0], "string")?;
            if text.is_empty() {
                return Ok(Value::Str(text));
            }
            let (before, after) = (number(&args[1])?, number(&args[2])?);
            Ok(Value::Str(format!("{}{text}{}", spaces(before), spaces(after))))
        }
        "truncate" => {
            let text = string(&args[0], "string")?;
            let length = usize::try_from(number(&args[1])?).unwrap_or(0);
            Ok(Value::Str(text.chars().take(length).collect()))
        }
        _ => Err(format!("function {} not defined", quote(name))),
    }
}

fn spaces(count: i128) -> String {
    " ".repeat(usize::try_from(count).unwrap_or(0).min(MAX_PADDING))
}

fn string(value: &Value, wanted: &str) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Struct(inner) if inner.text.is_some() => Ok(print(value)),
        Value::Missing => Ok(String::new()),
        other => Err(format!("wrong type for value; expected {wanted}; got {}", other.type_name())),
    }
}

fn number(value: &Value) -> Result<i128, String> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(format!("wrong type for value; expected int; got {}", other.type_name())),
    }
}

fn join(list: &Value, separator: &Value) -> Answer {
    let separator = string(separator, "string")?;
    match list {
        Value::List(items) => {
            let parts: Result<Vec<String>, String> =
                items.iter().map(|item| string(item, "string")).collect();
            parts.map(|parts| Value::Str(parts.join(&separator)))
        }
        Value::Nil | Value::Missing => Ok(Value::Str(String::new())),
        other => Err(format!("wrong type for value; expected []string; got {}", other.type_name())),
    }
}

/// Upper case for the first letter of every word.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

/// Go puts a space between two operands of `print` when neither is a string.
fn spaced(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in args.iter().enumerate() {
        let both =
            |a: &Value, b: &Value| !matches!(a, Value::Str(_)) && !matches!(b, Value::Str(_));
        if index > 0 && both(&args[index - 1], value) {
            out.push(' ');
        }
        out.push_str(&print_argument(value));
    }
    out
}

fn lined(args: &[Value]) -> String {
    let mut out = args.iter().map(print_argument).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

fn text_of(args: &[Value]) -> String {
    spaced(args)
}

fn print_argument(value: &Value) -> String {
    if *value == Value::Missing { "<nil>".into() } else { print(value) }
}

fn equal_any(args: &[Value]) -> Answer {
    if args.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    use Value as V;
    match (a, b) {
        (V::Missing | V::Nil, V::Missing | V::Nil) => Ok(true),
        (V::Missing | V::Nil, _) | (_, V::Missing | V::Nil) => Ok(false),
        (V::Bool(a), V::Bool(b)) => Ok(a == b),
        (V::Int(a), V::Int(b)) => Ok(a == b),
        (V::Float(a), V::Float(b)) => Ok(a == b),
        (V::List(_) | V::Map(_), _) => {
            Err(format!("non-comparable type {}: {}", print(a), a.type_name()))
        }
        (_, V::List(_) | V::Map(_)) => {
            Err(format!("non-comparable type {}: {}", print(b), b.type_name()))
        }
        _ => match (as_text(a), as_text(b)) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Err("incompatible types for comparison".into()),
        },
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Struct(inner) => inner.text.clone(),
        _ => None,
    }
}

fn compare(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b).unwrap_or(Ordering::Equal)),
        (Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Missing | Value::Nil, _) => {
            Err("invalid type for comparison".into())
        }
        _ => match (as_text(a), as_text(b)) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => Err("incompatible types for comparison".into()),
        },
    }
}

fn length(value: &Value) -> Answer {
    let count = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => 0,
        Value::Missing => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i128::try_from(count).unwrap_or(i128::MAX)))
}

fn position(value: &Value, length: usize, inclusive: bool) -> Result<usize, String> {
    let Value::Int(number) = value else {
        return Err(format!("cannot index slice/array with type {}", value.type_name()));
    };
    match usize::try_from(*number) {
        Ok(at) if at < length || (inclusive && at == length) => Ok(at),
        _ => Err(format!("index out of range: {number}")),
    }
}

fn index(value: &Value, keys: &[Value]) -> Answer {
    let mut value = value.clone();
    for key in keys {
        value = match value {
            Value::List(items) => items[position(key, items.len(), false)?].clone(),
            Value::Str(text) => {
                Value::Int(text.as_bytes()[position(key, text.len(), false)?].into())
            }
            Value::Map(map) => {
                let Value::Str(name) = key else {
                    return Err(format!("value has type {}; should be string", key.type_name()));
                };
                let missing =
                    if map.of_strings { Value::Str(String::new()) } else { Value::Missing };
                map.entries.get(name).cloned().unwrap_or(missing)
            }
            Value::Missing => return Err("index of untyped nil".into()),
            Value::Nil => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(value: &Value, bounds: &[Value]) -> Answer {
    let length = match value {
        Value::Str(_) if bounds.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Missing => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let at = |index: usize, otherwise: usize| match bounds.get(index) {
        Some(bound) => position(bound, length, true),
        None => Ok(otherwise),
    };
    let (from, to) = (at(0, 0)?, at(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Str(text) => {
            Value::Str(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned())
        }
        Value::List(items) => Value::List(items[from..to].to_vec()),
        _ => Value::Missing,
    })
}

fn escape_html(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
        out
    })
}

fn escape_js(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

fn escape_query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
