//! Contexts as they are written: URLs, images, stages, layouts, directories.

use std::path::PathBuf;

use gantry_build_proto::ContextSource;
use gantry_gotext::quote;
use gantry_oci::Reference;

use crate::flags::Flags;

/// A further context and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) from: Remote,
}

/// Where a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    /// The daemon gets it.
    Source(ContextSource),
    /// A directory here.
    Directory(PathBuf),
    /// An OCI layout in a directory here.
    Layout { path: PathBuf, reference: String },
}

/// `--build-context`.
pub(super) fn named(flags: &Flags) -> Result<Vec<Named>, String> {
    let mut all: Vec<Named> = Vec::new();
    for text in flags.list("build-context").iter().filter(|text| !text.is_empty()) {
        let Some((name, from)) = text.split_once('=') else {
            return Err(format!("invalid context value: {text}, expected key=value"));
        };
        let parsed: Reference =
            name.parse().map_err(|error| format!("invalid context name {name}: {error}"))?;
        let familiar = parsed.familiar();
        let name = familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned();
        let from = source(from).map_err(|why| format!("invalid context {name}: {why}"))?;
        all.retain(|known| known.name != name);
        all.push(Named { name, from });
    }
    Ok(all)
}

fn source(text: &str) -> Result<Remote, String> {
    if let Some(image) = text.strip_prefix("docker-image://") {
        image.parse::<Reference>().map_err(|error| format!("{}: {error}", quote(image)))?;
        return Ok(Remote::Source(ContextSource::Image(image.to_owned())));
    }
    if let Some(stage) = text.strip_prefix("target:") {
        return Ok(Remote::Source(ContextSource::Target(stage.to_owned())));
    }
    if let Some(layout) = text.strip_prefix("oci-layout://") {
        return Ok(self::layout(layout));
    }
    match remote(text) {
        Some(source) => Ok(Remote::Source(source)),
        None if text.is_empty() => Err("empty path".into()),
        None => Ok(Remote::Directory(text.into())),
    }
}

/// `path[:tag][@digest]`.
fn layout(text: &str) -> Remote {
    let (path, digest) = match text.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (text, None),
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    let reference = digest.or(tag).unwrap_or("latest");
    Remote::Layout { path: path.into(), reference: reference.to_owned() }
}

/// A context that the daemon gets by itself: a git repository or a file behind a URL.
pub(crate) fn remote(text: &str) -> Option<ContextSource> {
    let git = |url: &str| Some(ContextSource::Git(url.to_owned()));
    let lower = text.to_ascii_lowercase();
    if text.starts_with(['.', '/']) {
        return None;
    }
    if lower.starts_with("git://") || lower.starts_with("ssh://") {
        return git(text);
    }
    if lower.starts_with("github.com/") {
        return git(&format!("https://{text}"));
    }
    if lower.starts_with("http://") || lower.starts_with("https://") {
        let path = text.split(['#', '?']).next().unwrap_or(text);
        return match path.ends_with(".git") {
            true => git(text),
            false => Some(ContextSource::Http(text.to_owned())),
        };
    }
    // As scp writes it: user@host:path.
    let (host, path) = text.split_once(':')?;
    let (user, host) = host.split_once('@')?;
    let word = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !text.starts_with('-')
    };
    (word(user) && word(host) && !path.is_empty()).then(|| ContextSource::Git(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        let git = |url: &str| Some(ContextSource::Git(url.to_owned()));
        for (text, want) in [
            ("https://example.com/a/b.git#v1:sub", git("https://example.com/a/b.git#v1:sub")),
            ("https://example.com/a/b.git?branch=x", git("https://example.com/a/b.git?branch=x")),
            ("git@example.com:a/b.git", git("git@example.com:a/b.git")),
            ("github.com/a/b", git("https://github.com/a/b")),
            ("ssh://git@example.com/a", git("ssh://git@example.com/a")),
            (
                "http://example.com/context.tar.gz",
                Some(ContextSource::Http("http://example.com/context.tar.gz".into())),
            ),
            ("./git@example.com:a", None),
            ("-x@example.com:a", None),
            ("user@-host:a", None),
            ("C:context", None),
            ("context", None),
        ] {
            assert_eq!(remote(text), want, "{text}");
        }
    }

    #[test]
    fn layouts_have_tags_or_digests() {
        let of = |path: &str, reference: &str| Remote::Layout {
            path: path.into(),
            reference: reference.into(),
        };
        assert_eq!(layout("/a/b"), of("/a/b", "latest"));
        assert_eq!(layout("a:v1"), of("a", "v1"));
        assert_eq!(layout("a:v1@sha256:00"), of("a", "sha256:00"));
    }
}
