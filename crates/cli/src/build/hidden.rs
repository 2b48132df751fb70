//! What of a context does not exist: what its ignore file leaves out.

use gantry_dockerfile::{Matched, Patterns};

/// The patterns of an ignore file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden(Patterns);

/// What is to be seen of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is there.
    Shown,
    /// It is not, and nothing below it.
    Hidden,
    /// It is there, if it is a directory, for the sake of something below it that may be shown.
    Maybe,
}

impl Hidden {
    /// Hides nothing.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// Reads an ignore file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Patterns::of_ignore_file(text).map(Self).map_err(|error| error.to_string())
    }

    /// What is known of a directory, for [`Hidden::look`].
    pub(crate) fn enter(&self, directory: &str) -> Matched {
        let mut known = self.0.root();
        if directory.is_empty() || self.0.is_empty() {
            return known;
        }
        let ends = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
        for end in ends {
            known = self.0.enter(&known, &directory[..end]);
        }
        known
    }

    /// Looks at a path in a directory of which `known` is known.
    pub(crate) fn look(&self, known: &Matched, path: &str) -> Sight {
        if self.0.is_empty() {
            return Sight::Shown;
        }
        let seen = self.0.enter(known, path);
        match seen.is_excluded() {
            false => Sight::Shown,
            true if self.0.may_include_below(&seen, path) => Sight::Maybe,
            true => Sight::Hidden,
        }
    }

    /// Looks at any path; the directory itself is always there.
    pub(crate) fn sight(&self, path: &str) -> Sight {
        match path.rsplit_once('/') {
            _ if path.is_empty() => Sight::Shown,
            Some((directory, _)) => self.look(&self.enter(directory), path),
            None => self.look(&self.enter(""), path),
        }
    }
}
