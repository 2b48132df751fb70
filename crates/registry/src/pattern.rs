//! Patterns over names and tags.

use serde::Deserialize;

/// A pattern: `*` is any run of characters but `/`, `**` any at all, all else itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether all of `text` fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        fits(self.0.as_bytes(), text.as_bytes())
    }
}

impl Default for Pattern {
    /// Everything.
    fn default() -> Self {
        Self::new("**")
    }
}

/// Where a star's run may grow by one: what stands behind the star, and the run's end.
type Retry = (usize, usize);

/// Goes back to the last star only, and to the last double star behind that: linear in the text for
/// each of them, where trying every star again would be exponential.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let (mut star, mut double): (Option<Retry>, Option<Retry>) = (None, None);
    loop {
        if pattern[p..].starts_with(b"**") {
            p += 2;
            (double, star) = (Some((p, t)), None);
        } else if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
        } else if p < pattern.len() && t < text.len() && pattern[p] == text[t] {
            (p, t) = (p + 1, t + 1);
        } else if p == pattern.len() && t == text.len() {
            return true;
        } else if let Some((behind, from)) = star
            && from < text.len()
            && text[from] != b'/'
        {
            (p, t) = (behind, from + 1);
            star = Some((behind, from + 1));
        } else if let Some((behind, from)) = double
            && from < text.len()
        {
            (p, t) = (behind, from + 1);
            (double, star) = (Some((behind, from + 1)), None);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("*/b", "a/b", true),
            ("**/b", "x/a/b", true),
            ("v*.*", "v1.2.3", true),
            ("v*.*", "v1", false),
            ("*-rc*", "1.0-rc1", true),
            ("**a*b", "a/xab/aab", true),
            ("**a*b", "a/xab/aa/b", false),
            ("a**b**c", "a/b/b/xc", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), want, "{pattern} {text}");
        }
        let hard = "*a".repeat(30);
        assert!(!Pattern::new(&hard).fits(&"a".repeat(5000).replace("aaaa", "aaab")));
    }
}
