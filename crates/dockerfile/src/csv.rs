//! Fields between commas, with quotes as in CSV; the words of errors are those of Go's
//! `encoding/csv`.

use thiserror::Error;

/// Why a text is not a line of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CsvError {
    /// There is nothing.
    #[error("EOF")]
    Empty,
    /// A quote in a field that does not begin with one.
    #[error("parse error on line 1, column {0}: bare \" in non-quoted-field")]
    BareQuote(usize),
    /// A quoted field that goes on after its end, or has none.
    #[error("parse error on line 1, column {0}: extraneous or missing \" in quoted-field")]
    Quote(usize),
}

/// The fields of a line.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, CsvError> {
    if text.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let (field, length) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, at + 1)?,
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                if let Some(quote) = rest[..length].find('"') {
                    return Err(CsvError::BareQuote(at + quote + 1));
                }
                (rest[..length].to_owned(), length)
            }
        };
        fields.push(field);
        at += length;
        if at == text.len() {
            return Ok(fields);
        }
        at += 1;
    }
}

/// A field whose opening quote is before `rest`, and how many bytes it is with its quotes.
fn quoted_field(rest: &str, column: usize) -> Result<(String, usize), CsvError> {
    let mut field = String::new();
    let mut at = 0;
    loop {
        let quote = rest[at..].find('"').ok_or(CsvError::Quote(column + rest.len() + 1))? + at;
        field.push_str(&rest[at..quote]);
        match rest.as_bytes().get(quote + 1) {
            None | Some(b',') => return Ok((field, quote + 2)),
            Some(b'"') => field.push('"'),
            Some(_) => return Err(CsvError::Quote(column + quote + 1)),
        }
        at = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quotes() {
        for (text, want) in [
            ("", Err(CsvError::Empty)),
            ("a", Ok(vec!["a"])),
            ("a,b=c,", Ok(vec!["a", "b=c", ""])),
            (r#""a,b",c"#, Ok(vec!["a,b", "c"])),
            (r#"a,"b""c""#, Ok(vec!["a", r#"b"c"#])),
            (r#"a"b"#, Err(CsvError::BareQuote(2))),
            (r#""ab"#, Err(CsvError::Quote(4))),
            (r#""a"b"#, Err(CsvError::Quote(3))),
            (r#""grün","#, Ok(vec!["grün", ""])),
        ] {
            let want = want.map(|fields| fields.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(fields(text), want, "{text:?}");
        }
    }
}
