//! Names of repositories.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest name, in bytes.
const MAX_BYTES: usize = 255;

/// The name of a repository, as `library/busybox`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Arc<str>);

impl Name {
    /// Reads a name; none if it is outside the grammar.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() <= MAX_BYTES && gantry_oci::is_path(text)).then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        let long = "a".repeat(256);
        for (text, want) in [
            ("a", true),
            ("library/busybox", true),
            ("a-b__c.d/e/f", true),
            ("", false),
            ("/a", false),
            ("a//b", false),
            ("A", false),
            ("a/../b", false),
            ("a_/b", false),
            ("a:b", false),
            ("a@b", false),
            (&long, false),
        ] {
            assert_eq!(Name::parse(text).is_some(), want, "{text}");
        }
    }
}
