//! Sources that are named by address: git repositories and files behind URLs.
//!
//! ```text
//! https://host/path.git[?query][#reference[:directory]]    git
//! git://host/path, ssh://[user@]host/path                  git
//! user@host:path                                           git, by ssh
//! http://..., https://...                                  a file
//! ```
//!
//! What follows `#` names a branch, tag or commit, and a directory. The query says the same by name:
//! `ref`, `branch`, `tag`, `commit` or `checksum`, `subdir`, `keep-git-dir`, `submodules`.
//!
//! Source: Dockerfile reference, "Adding files from a Git repository"; `docker build` reference,
//! "Git repositories".

use percent_encoding::percent_decode_str;

use crate::graph::GitSource;

/// What an address names.
#[derive(Debug, Clone)]
pub enum Remote {
    /// A git repository.
    Git(Git),
    /// A file.
    Http(String),
    /// None: a path.
    Local,
}

/// A git repository as an address names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Git {
    /// Where, without query and fragment.
    pub url: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Directory in it; empty for the top.
    pub subdirectory: String,
    /// Commit that it must be; empty for any.
    pub checksum: String,
    /// Whether `.git` stays, if the address says so.
    pub keep_git_directory: Option<bool>,
    /// Whether submodules are fetched, if the address says so.
    pub submodules: Option<bool>,
}

/// Why an address of a git repository is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// A key of the query that there is not.
    #[error("unexpected query {0:?}")]
    UnknownKey(String),
    /// A key without a value.
    #[error("query {0:?} has no value")]
    NoValue(String),
    /// A key twice.
    #[error("query {0:?} has multiple values")]
    Repeated(String),
    /// Two references.
    #[error("ref conflicts: {0:?} vs {1:?}")]
    References(String, String),
    /// A branch and a tag.
    #[error("branch conflicts with tag")]
    BranchAndTag,
    /// Two directories.
    #[error("subdir conflicts: {0:?} vs {1:?}")]
    Subdirectories(String, String),
    /// No truth value.
    #[error("invalid {0} value: {1:?}")]
    NotBoolean(&'static str, String),
}

impl Remote {
    /// Reads what `ADD` or a context is given.
    ///
    /// # Errors
    /// When it is a git repository's address with a wrong query.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        if text.starts_with("./") || text.starts_with("../") {
            return Ok(Self::Local);
        }
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("http" | "https") if address.ends_with(".git") => {}
            Some("http" | "https") => return Ok(Self::Http(text.to_owned())),
            Some("git" | "ssh") => {}
            None if is_scp(address) => {}
            _ => return Ok(Self::Local),
        }
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut git = Git {
            url: address.to_owned(),
            reference: reference.to_owned(),
            subdirectory: subdirectory.to_owned(),
            ..Git::default()
        };
        git.read_query(query)?;
        Ok(Self::Git(git))
    }

    /// As [`Remote::parse`], of a context: `github.com/…` is short for a git repository there.
    ///
    /// # Errors
    /// As [`Remote::parse`].
    pub fn parse_context(text: &str) -> Result<Self, RemoteError> {
        if !text.starts_with("github.com/") {
            return Self::parse(text);
        }
        let (address, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        let ending = if address.ends_with(".git") { "" } else { ".git" };
        Self::parse(&format!("https://{address}{ending}{rest}"))
    }

    /// The name that a file behind a URL gets: the last part of its path.
    #[must_use]
    pub fn file_name(url: &str) -> String {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once("://").map_or(path, |(_, rest)| rest);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
        // A name that leads elsewhere, once decoded, is none.
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
            return "__unnamed__".to_owned();
        }
        name
    }
}

impl Git {
    /// The operation that fetches it.
    #[must_use]
    pub fn source(&self) -> GitSource {
        GitSource {
            url: self.url.clone(),
            reference: self.reference.clone(),
            subdirectory: self.subdirectory.clone(),
            keep_git_directory: self.keep_git_directory.unwrap_or(false),
            checksum: self.checksum.clone(),
            submodules: self.submodules.unwrap_or(true),
        }
    }

    fn read_query(&mut self, query: &str) -> Result<(), RemoteError> {
        let (mut tag, mut branch, mut seen) = (String::new(), String::new(), Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let (key, value) = (key.into_owned(), value.into_owned());
            if seen.contains(&key) {
                return Err(RemoteError::Repeated(key));
            }
            if value.is_empty() && !matches!(key.as_str(), "submodules" | "keep-git-dir") {
                return Err(RemoteError::NoValue(key));
            }
            match key.as_str() {
                "ref" => self.refer(value)?,
                "tag" => tag = value,
                "branch" => branch = value,
                "subdir" => self.enter(value)?,
                "checksum" | "commit" => self.checksum = value,
                "keep-git-dir" => self.keep_git_directory = Some(truth("keep-git-dir", value)?),
                "submodules" => self.submodules = Some(truth("submodules", value)?),
                _ => return Err(RemoteError::UnknownKey(key)),
            }
            seen.push(key);
        }
        if !tag.is_empty() && !branch.is_empty() {
            return Err(RemoteError::BranchAndTag);
        }
        for (name, prefix) in [(tag, "refs/tags/"), (branch, "refs/heads/")] {
            if !name.is_empty() {
                let full = name.strip_prefix(prefix).unwrap_or(&name);
                self.refer(format!("{prefix}{full}"))?;
            }
        }
        if self.reference.is_empty() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    fn refer(&mut self, reference: String) -> Result<(), RemoteError> {
        if !self.reference.is_empty() && self.reference != reference {
            return Err(RemoteError::References(self.reference.clone(), reference));
        }
        self.reference = reference;
        Ok(())
    }

    fn enter(&mut self, directory: String) -> Result<(), RemoteError> {
        if !self.subdirectory.is_empty() && self.subdirectory != directory {
            return Err(RemoteError::Subdirectories(self.subdirectory.clone(), directory));
        }
        self.subdirectory = directory;
        Ok(())
    }
}

/// `user@host:path`, as scp writes it.
fn is_scp(address: &str) -> bool {
    let Some((user, rest)) = address.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    word(user) && word(host) && !path.is_empty()
}

fn truth(key: &'static str, value: String) -> Result<bool, RemoteError> {
    match value.as_str() {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(RemoteError::NotBoolean(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(url: &str, reference: &str, subdirectory: &str) -> Git {
        Git {
            url: url.to_owned(),
            reference: reference.to_owned(),
            subdirectory: subdirectory.to_owned(),
            ..Git::default()
        }
    }

    #[test]
    fn addresses_of_repositories() {
        for (text, want) in [
            ("https://h/a.git", git("https://h/a.git", "", "")),
            ("https://h/a.git#main", git("https://h/a.git", "main", "")),
            ("http://h/a.git#v1:d/e", git("http://h/a.git", "v1", "d/e")),
            ("https://h/a.git#:d", git("https://h/a.git", "", "d")),
            ("git://h/a", git("git://h/a", "", "")),
            ("ssh://git@h:22/a#x", git("ssh://git@h:22/a", "x", "")),
            ("git@h:a/b.git#x:y", git("git@h:a/b.git", "x", "y")),
            ("https://h/a.git?branch=b&subdir=d", git("https://h/a.git", "refs/heads/b", "d")),
            ("https://h/a.git?tag=v1", git("https://h/a.git", "refs/tags/v1", "")),
            ("https://h/a.git?ref=r#r", git("https://h/a.git", "r", "")),
            (
                "https://h/a.git?commit=abc&keep-git-dir&submodules=false",
                Git {
                    checksum: "abc".to_owned(),
                    keep_git_directory: Some(true),
                    submodules: Some(false),
                    ..git("https://h/a.git", "abc", "")
                },
            ),
        ] {
            match Remote::parse(text) {
                Ok(Remote::Git(got)) => assert_eq!(got, want, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn addresses_of_files_and_paths() {
        for text in ["http://h/a", "https://h/a.git/x", "https://h/a.tar?x=.git", "http://h"] {
            assert!(matches!(Remote::parse(text), Ok(Remote::Http(_))), "{text}");
        }
        for text in ["a", "./git@h:x", "../a.git", "github.com/a/b", "a.git", "ftp://h/a", "@h:x"] {
            assert!(matches!(Remote::parse(text), Ok(Remote::Local)), "{text}");
        }
        let want = git("https://github.com/a/b.git", "c", "");
        let got = Remote::parse_context("github.com/a/b#c");
        assert!(matches!(got, Ok(Remote::Git(git)) if git == want));
    }

    #[test]
    fn wrong_queries() {
        for (query, want) in [
            ("x=1", RemoteError::UnknownKey("x".to_owned())),
            ("ref=", RemoteError::NoValue("ref".to_owned())),
            ("ref=a&ref=b", RemoteError::Repeated("ref".to_owned())),
            ("tag=a&branch=b", RemoteError::BranchAndTag),
            ("keep-git-dir=x", RemoteError::NotBoolean("keep-git-dir", "x".to_owned())),
            ("ref=a&tag=b", RemoteError::References("a".to_owned(), "refs/tags/b".to_owned())),
        ] {
            let got = Remote::parse(&format!("https://h/a.git?{query}")).err();
            assert_eq!(got, Some(want), "{query}");
        }
    }

    #[test]
    fn names_of_files() {
        for (url, want) in [
            ("http://h/a/b.tar.gz?x#y", "b.tar.gz"),
            ("http://h/", "__unnamed__"),
            ("http://h", "__unnamed__"),
            ("https://h/a/", "a"),
            ("https://h/a%20b", "a b"),
            ("https://h/..%2f..%2fetc", "__unnamed__"),
            ("https://h/a/..", "__unnamed__"),
        ] {
            assert_eq!(Remote::file_name(url), want, "{url}");
        }
    }
}
