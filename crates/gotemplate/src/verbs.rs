//! Go's `fmt` verbs, for `printf`.

use crate::funcs::MAX_PADDING;
use gantry_gotext::quote;

use crate::text::{float, print};
use crate::value::Value;

/// Flags, width and precision of one verb.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats as Go's `fmt.Sprintf`; a wrong verb shows in the text, as in Go.
pub(crate) fn sprintf(format: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut args = args.iter();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        loop {
            match chars.peek() {
                Some('-') => spec.left = true,
                Some('+') => spec.plus = true,
                Some('#') => spec.sharp = true,
                Some(' ') => spec.space = true,
                Some('0') => spec.zero = true,
                _ => break,
            }
            chars.next();
        }
        spec.width = count(&mut chars, &mut args)?;
        if chars.peek() == Some(&'.') {
            chars.next();
            spec.precision = Some(count(&mut chars, &mut args)?.unwrap_or(0));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                Some(value) => out.push_str(&pad(&spec, apply(&spec, verb, value), value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> =
        args.map(|value| format!("{}={}", value.type_name(), print(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

fn count<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &mut impl Iterator<Item = &'a Value>,
) -> Result<Option<usize>, String> {
    if chars.peek() == Some(&'*') {
        chars.next();
        let Some(Value::Int(number)) = args.next() else { return Ok(None) };
        return Ok(usize::try_from(*number).ok().map(|width| width.min(MAX_PADDING)));
    }
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let next = number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit as usize);
        number = Some(next.min(MAX_PADDING));
    }
    Ok(number)
}

fn pad(spec: &Spec, text: String, value: &Value) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if spec.left {
        return format!("{text}{}", " ".repeat(missing));
    }
    let numeric = matches!(value, Value::Int(_) | Value::Float(_));
    if spec.zero && numeric {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (&text[..1], rest),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", if spec.zero { "0" } else { " " }.repeat(missing))
}

fn wrong(verb: char, value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({}={})", value.type_name(), print(value)),
    }
}

fn apply(spec: &Spec, verb: char, value: &Value) -> String {
    match (verb, value) {
        ('T', _) => value.type_name(),
        ('v' | 's', Value::Str(text)) => cut(spec, text, verb == 'v' && spec.sharp),
        ('v', Value::Missing) => "<nil>".into(),
        ('v', Value::Float(number)) => number_of(spec, 'g', *number),
        ('v' | 'd', Value::Int(number)) => signed(spec, *number, number.unsigned_abs().to_string()),
        ('v', _) => print(value),
        ('t', Value::Bool(value)) => value.to_string(),
        ('q', Value::Str(text)) if spec.sharp && !text.contains('`') => format!("`{text}`"),
        ('q', Value::Str(text)) => quote(&cut(spec, text, false)),
        ('q' | 'c', Value::Int(number)) => {
            let c = u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            if verb == 'c' { c.into() } else { format!("'{c}'") }
        }
        ('U', Value::Int(number)) => format!("U+{number:04X}"),
        ('x' | 'X' | 'o' | 'b', Value::Int(number)) => {
            let (n, sharp) = (number.unsigned_abs(), spec.sharp);
            let digits = match verb {
                'x' => format!("{}{n:x}", if sharp { "0x" } else { "" }),
                'X' => format!("{}{n:X}", if sharp { "0X" } else { "" }),
                'o' => format!("{}{n:o}", if sharp { "0" } else { "" }),
                _ => format!("{}{n:b}", if sharp { "0b" } else { "" }),
            };
            signed(spec, *number, digits)
        }
        ('x' | 'X', Value::Str(text)) => text
            .bytes()
            .map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") })
            .collect(),
        ('e' | 'f' | 'F' | 'g', Value::Float(number)) => number_of(spec, verb, *number),
        (_, Value::List(items)) => {
            let parts: Vec<String> = items.iter().map(|item| apply(spec, verb, item)).collect();
            format!("[{}]", parts.join(" "))
        }
        (_, Value::Map(map)) => {
            let parts = map.entries.iter().map(|(key, item)| {
                format!(
                    "{}:{}",
                    apply(spec, verb, &Value::from(key.as_str())),
                    apply(spec, verb, item)
                )
            });
            format!("map[{}]", parts.collect::<Vec<_>>().join(" "))
        }
        ('s' | 'q', Value::Struct(_)) => {
            if verb == 'q' {
                quote(&print(value))
            } else {
                print(value)
            }
        }
        _ => wrong(verb, value),
    }
}

fn cut(spec: &Spec, text: &str, quoted: bool) -> String {
    let text: String = match spec.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text.to_owned(),
    };
    if quoted { quote(&text) } else { text }
}

fn signed(spec: &Spec, number: i128, digits: String) -> String {
    let digits = match spec.precision {
        Some(length) if digits.len() < length => {
            format!("{}{digits}", "0".repeat(length - digits.len()))
        }
        _ => digits,
    };
    match (number < 0, spec.plus, spec.space) {
        (true, ..) => format!("-{digits}"),
        (_, true, _) => format!("+{digits}"),
        (_, _, true) => format!(" {digits}"),
        _ => digits,
    }
}

fn number_of(spec: &Spec, verb: char, number: f64) -> String {
    let text = match (verb, spec.precision) {
        ('f' | 'F', precision) => format!("{number:.*}", precision.unwrap_or(6)),
        ('e', precision) => exponent(&format!("{number:.*e}", precision.unwrap_or(6))),
        (_, None) => float(number, 21),
        (_, Some(precision)) => significant(number, precision.max(1)),
    };
    if number >= 0.0 && spec.plus { format!("+{text}") } else { text }
}

/// `%.Ng`: N significant digits without trailing zeros.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    let text = format!("{number:.*e}", digits - 1);
    let power = text.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if power < -4 || power >= limit {
        let (mantissa, _) = text.split_once('e').unwrap_or((&text, ""));
        return exponent(&format!("{}e{power}", trim_zeros(mantissa)));
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    trim_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn exponent(text: &str) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let power = power.parse::<i32>().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}
