//! Patterns of files: of `.dockerignore`, of `--exclude`, and of sources of `COPY` and `ADD`.
//!
//! Paths are relative to the directory that the patterns are for, with slashes and without `.` and
//! `..`. What a pattern matches, it matches with all that is below it. Of several that match, the
//! last counts; one that begins with `!` says that the file stays.
//!
//! A walker carries along what is known of each directory, so that no path is looked at twice:
//!
//! ```
//! # use gantry_dockerfile::{IgnoreError, Patterns};
//! let patterns = Patterns::of_ignore_file("vendor\n!vendor/ours/**\n")?;
//! let vendor = patterns.enter(&patterns.root(), "vendor");
//! assert!(vendor.is_excluded());
//! // Something below stays, so the directory is to be walked all the same.
//! assert!(patterns.may_include_below(&vendor, "vendor"));
//! assert!(!patterns.enter(&vendor, "vendor/ours/a.c").is_excluded());
//! # Ok::<(), IgnoreError>(())
//! ```

mod glob;

pub use glob::{Glob, GlobError, has_wildcards, split_wildcards};

use thiserror::Error;

use crate::text::clean_path;

/// Patterns, in order.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: Glob,
    exception: bool,
}

/// What is known of a path, with that of all above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched {
    /// For each pattern, whether it matches the path or one above.
    matched: Vec<bool>,
    excluded: bool,
}

/// Why patterns are none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IgnoreError {
    /// An exception of nothing.
    #[error("illegal exclusion pattern: \"!\"")]
    EmptyException,
    /// A pattern is none.
    #[error("{error}: {pattern}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: GlobError,
    },
}

impl Matched {
    /// Whether the path is left out.
    #[must_use]
    pub fn is_excluded(&self) -> bool {
        self.excluded
    }
}

impl Patterns {
    /// Patterns as `--exclude` has them. Spaces around one do not count, nor do empty ones.
    ///
    /// # Errors
    /// When one is no pattern.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, IgnoreError> {
        let mut read = Vec::new();
        for written in patterns {
            let written = written.as_ref().trim();
            if written.is_empty() {
                continue;
            }
            let clean = clean_path(written);
            let (exception, pattern) = match clean.strip_prefix('!') {
                Some("") => return Err(IgnoreError::EmptyException),
                Some(pattern) => (true, pattern),
                None => (false, clean.as_str()),
            };
            let glob = Glob::any_depth(pattern)
                .map_err(|error| IgnoreError::Pattern { pattern: pattern.to_owned(), error })?;
            read.push(Pattern { glob, exception });
        }
        Ok(Self { patterns: read })
    }

    /// The patterns of a `.dockerignore`: one a line; lines that begin with `#` are comments.
    /// Slashes at the beginning do not count: everything is below the context.
    ///
    /// # Errors
    /// When a line is no pattern.
    pub fn of_ignore_file(text: &str) -> Result<Self, IgnoreError> {
        Self::new(ignore_file_patterns(text))
    }

    /// Whether there is one that says what stays.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path is left out. The directory itself, `.`, never is.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = clean_path(path);
        let path = path.trim_start_matches('/');
        if path.is_empty() || path == "." {
            return false;
        }
        let mut known = self.root();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            known = self.enter(&known, &path[..end]);
        }
        known.excluded
    }

    /// What is known of the directory that the patterns are for.
    #[must_use]
    pub fn root(&self) -> Matched {
        Matched { matched: vec![false; self.patterns.len()], excluded: false }
    }

    /// What is known of a path, from what is known of the directory that it is in. The path is
    /// the whole one, not the name alone.
    #[must_use]
    pub fn enter(&self, parent: &Matched, path: &str) -> Matched {
        let above = parent.matched.iter().copied().chain(std::iter::repeat(false));
        let matched: Vec<bool> = self
            .patterns
            .iter()
            .zip(above)
            .map(|(pattern, above)| above || pattern.glob.matches(path))
            .collect();
        let last = self.patterns.iter().zip(&matched).rfind(|(_, matched)| **matched);
        let excluded = last.is_some_and(|(pattern, _)| !pattern.exception);
        Matched { matched, excluded }
    }

    /// Whether something below a directory that is left out may stay: only then is it to be
    /// walked.
    #[must_use]
    pub fn may_include_below(&self, directory: &Matched, path: &str) -> bool {
        let known = self.patterns.iter().zip(&directory.matched);
        for (pattern, matched) in known.rev() {
            match (pattern.exception, *matched) {
                // It leaves out all below, and nothing after it says otherwise.
                (false, true) => return false,
                (true, true) => return true,
                (true, false) if pattern.glob.may_match_below(path) => return true,
                _ => {}
            }
        }
        false
    }

    /// Whether everything at the top is left out.
    pub(crate) fn excludes_all(&self) -> bool {
        let all = |pattern: &Pattern| ["*", "**", "**/*"].contains(&pattern.glob.as_str());
        self.patterns.iter().any(|pattern| !pattern.exception && all(pattern))
    }
}

/// The patterns of a `.dockerignore`, as [`Patterns::new`] takes them.
#[must_use]
pub fn ignore_file_patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
    lines.filter(|line| !line.is_empty()).map(ignore_file_pattern).collect()
}

fn ignore_file_pattern(line: &str) -> String {
    let (mark, pattern) = match line.strip_prefix('!') {
        Some(pattern) => ("!", pattern.trim()),
        None => ("", line),
    };
    if pattern.is_empty() {
        return mark.to_owned();
    }
    let clean = clean_path(pattern);
    let relative = clean.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&clean);
    format!("{mark}{relative}")
}
