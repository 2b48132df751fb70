//! Strings as Go's `%q` prints them, which BuildKit's messages have them.

/// The text in double quotes, with what is not printable escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        push_escaped(&mut out, char);
    }
    out.push('"');
    out
}

fn push_escaped(out: &mut String, char: char) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        ' ' => out.push(' '),
        other if other.is_control() && other.is_ascii() => {
            out.push_str(&format!("\\x{:02x}", u32::from(other)));
        }
        other if other.is_control() || other.is_whitespace() => {
            out.push_str(&format!("\\u{:04x}", u32::from(other)));
        }
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, want) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("tab\tnl\n", r#""tab\tnl\n""#),
            ("\u{0}\u{7f}", r#""\x00\x7f""#),
            ("grün", "\"grün\""),
            ("\u{a0}", r#""\u00a0""#),
        ] {
            assert_eq!(quoted(text), want, "{text:?}");
        }
    }
}
