//! Patterns of names: Go's `filepath.Match` component by component, and `**` for any number of them.
//!
//! Source: Go, package `path/filepath`, "Match"; Dockerfile reference, "COPY --exclude".

/// Whether a component of a path has letters that mean something in a pattern.
pub(crate) fn is_pattern(component: &[u8]) -> bool {
    component.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether a name matches a pattern without slashes. None if the pattern is none.
pub(crate) fn matches_name(pattern: &[u8], name: &[u8]) -> Option<bool> {
    // Where the last star was, and up to where it may have eaten.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut matched = true;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if n == name.len() {
            break;
        }
        match one(&pattern[p..], letter(&name[n..]))? {
            Some((taken, true)) => {
                p += taken;
                n += letter(&name[n..]).len();
            }
            _ => {
                let Some((at, from)) = star else {
                    matched = false;
                    break;
                };
                n = from + letter(&name[from..]).len();
                star = Some((at, n));
                p = at + 1;
            }
        }
    }
    // A broken end is an error even where the name had no need of it.
    let mut rest = &pattern[p..];
    while !rest.is_empty() {
        if rest[0] == b'*' {
            rest = &rest[1..];
            continue;
        }
        matched = false;
        rest = &rest[one(rest, b"x")?.map_or(rest.len(), |(taken, _)| taken)..];
    }
    Some(matched)
}

/// The first letter of a name: a character, or a byte where there is none.
fn letter(name: &[u8]) -> &[u8] {
    let length = name
        .utf8_chunks()
        .next()
        .map_or(1, |chunk| chunk.valid().chars().next().map_or(1, char::len_utf8));
    &name[..length.min(name.len())]
}

/// Matches what comes first in a pattern, which is no star, against one letter: how much of the
/// pattern it was, and whether it matches. `Some(None)` at the pattern's end, none if it is broken.
fn one(pattern: &[u8], letter: &[u8]) -> Option<Option<(usize, bool)>> {
    match pattern.first() {
        None => Some(None),
        Some(b'?') => Some(Some((1, true))),
        Some(b'[') => class(pattern, letter).map(Some),
        Some(b'\\') => {
            let literal = self::letter(pattern.get(1..)?);
            if literal.is_empty() {
                return None;
            }
            Some(Some((1 + literal.len(), literal == letter)))
        }
        Some(_) => {
            let literal = self::letter(pattern);
            Some(Some((literal.len(), literal == letter)))
        }
    }
}

/// Matches `[…]`.
fn class(pattern: &[u8], letter: &[u8]) -> Option<(usize, bool)> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let (mut found, mut count) = (false, 0);
    loop {
        if pattern.get(at) == Some(&b']') && count > 0 {
            return Some((at + 1, found != negated));
        }
        let low = member(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') {
            at += 1;
            high = member(pattern, &mut at)?;
        }
        found |= (low..=high).contains(&letter);
        count += 1;
    }
}

/// A letter of a class.
fn member<'a>(pattern: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    match pattern.get(*at)? {
        b'-' | b']' => return None,
        b'\\' => *at += 1,
        _ => {}
    }
    let found = letter(pattern.get(*at..)?);
    *at += found.len();
    // The class is not closed if nothing follows.
    (!found.is_empty() && *at < pattern.len()).then_some(found)
}

/// Whether a path matches a pattern of components, of which `**` stands for any number.
pub(crate) fn matches_path(pattern: &[&[u8]], path: &[&[u8]]) -> Option<bool> {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => Some(true),
        (None, Some(_)) => Some(false),
        (Some((&b"**", rest)), _) => {
            for taken in 0..=path.len() {
                if matches_path(rest, &path[taken..])? {
                    return Some(true);
                }
            }
            Some(false)
        }
        (Some((first, rest)), Some((name, path))) => {
            if matches_name(first, name)? {
                matches_path(rest, path)
            } else {
                Some(false)
            }
        }
        (Some((first, _)), None) => matches_name(first, b"").map(|_| false),
    }
}

/// A list of patterns of what is left out, as in ignore files: the last that matches counts, `!`
/// takes back, and what is in a directory that matches is left out too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excludes {
    patterns: Vec<(bool, Vec<Vec<u8>>)>,
}

impl Excludes {
    /// Reads patterns.
    ///
    /// # Errors
    /// The first that is none.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for text in texts {
            let (back, pattern) = match text.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, text.as_str()),
            };
            let parts: Vec<Vec<u8>> =
                super::components(pattern.as_bytes()).map(<[u8]>::to_vec).collect();
            if parts.iter().any(|part| part != b"**" && matches_name(part, b"").is_none()) {
                return Err(text.clone());
            }
            if !parts.is_empty() {
                patterns.push((back, parts));
            }
        }
        Ok(Self { patterns })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether something below a directory that is left out may be taken back.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|(back, _)| *back)
    }

    /// Whether a path is left out.
    pub(crate) fn excludes(&self, path: &[u8]) -> bool {
        let parts: Vec<&[u8]> = super::components(path).collect();
        let mut out = false;
        for (back, pattern) in &self.patterns {
            if *back != out {
                continue;
            }
            let pattern: Vec<&[u8]> = pattern.iter().map(Vec::as_slice).collect();
            let matched = (1..=parts.len())
                .any(|length| matches_path(&pattern, &parts[..length]) == Some(true));
            if matched {
                out = !back;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, name, want) in [
            ("abc", "abc", Some(true)),
            ("*", "", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*b*c*d", "axbxcxd", Some(true)),
            ("a*b*c*d", "axbxcx", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "aéb", Some(true)),
            ("a[^a]b", "aéb", Some(true)),
            ("a???b", "aéb", Some(false)),
            ("[a-é]*", "α", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("a[", "x", None),
            ("\\", "a", None),
            ("*x", "xxx", Some(true)),
            ("", "", Some(true)),
            ("", "a", Some(false)),
        ] {
            assert_eq!(matches_name(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn excludes() {
        let excludes = |patterns: &[&str], path: &str| {
            let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            Excludes::parse(&texts).unwrap().excludes(path.as_bytes())
        };
        for (patterns, path, want) in [
            (&["*.txt"][..], "a.txt", true),
            (&["*.txt"], "d/a.txt", false),
            (&["**/*.txt"], "d/e/a.txt", true),
            (&["**/*.txt"], "a.txt", true),
            (&["d"], "d/e/a.txt", true),
            (&["/d/"], "d", true),
            (&["d/**"], "d/x", true),
            (&["d", "!d/keep"], "d/keep", false),
            (&["d", "!d/keep"], "d/keep/x", false),
            (&["d", "!d/keep"], "d/other", true),
            (&["!a"], "a", false),
            (&["**"], "any/thing", true),
            (&["a/**/b"], "a/b", true),
            (&["a/**/b"], "a/x/y/b", true),
            (&["a/**/b"], "a/x/y/c", false),
        ] {
            assert_eq!(excludes(patterns, path), want, "{patterns:?} {path}");
        }
        assert_eq!(Excludes::parse(&["a".to_owned(), "[".to_owned()]).unwrap_err(), "[");
    }
}
