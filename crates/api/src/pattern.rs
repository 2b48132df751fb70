//! Paths of routes: literal text with `{names}` in it, each of which may hold slashes.
//!
//! An image's name has slashes, so a parameter takes whatever stands between the literal texts.

/// The values of a pattern's parameters in `path`, if it fits.
///
/// The last literal is matched at the end, the others as early as they come.
pub(crate) fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut pieces = pattern.split('{');
    let mut rest = path.strip_prefix(pieces.next()?)?;
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let literal = piece.split_once('}').map_or("", |(_, literal)| literal);
        let value = if pieces.peek().is_none() {
            let value = rest.strip_suffix(literal)?;
            rest = "";
            value
        } else {
            let (value, behind) = rest.split_once(literal)?;
            rest = behind;
            value
        };
        if value.is_empty() {
            return None;
        }
        values.push(value.to_owned());
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_hold_slashes() {
        for (pattern, path, want) in [
            ("/info", "/info", Some(vec![])),
            ("/info", "/info/", None),
            ("/images/{name}/json", "/images/json", None),
            ("/images/{name}/json", "/images//json", None),
            ("/images/{name}/json", "/images/a/json", Some(vec!["a"])),
            ("/images/{name}/json", "/images/reg:5/a/b:c/json", Some(vec!["reg:5/a/b:c"])),
            ("/images/{name}", "/images/a/b", Some(vec!["a/b"])),
            ("/c/{id}/checkpoints/{name}", "/c/x/checkpoints/y", Some(vec!["x", "y"])),
            ("/c/{id}/checkpoints/{name}", "/c/x/checkpoints/", None),
        ] {
            let want: Option<Vec<String>> =
                want.map(|values| values.into_iter().map(str::to_owned).collect());
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }
}
