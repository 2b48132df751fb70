//! From a path to what it names.

use percent_encoding::percent_decode_str;

use super::refusal::{Code, Refusal};
use crate::name::Name;

/// What a request is about; digests, tags and ids as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Base,
    Catalog,
    Tags(Name),
    Referrers(Name, String),
    Manifest(Name, String),
    Blob(Name, String),
    Uploads(Name),
    Upload(Name, String),
}

impl Route {
    /// The repository that it is about.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags(name)
            | Self::Referrers(name, _)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _) => Some(name),
        }
    }

    /// Digest, tag or id, as it was written; empty where there is none.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Base | Self::Catalog | Self::Tags(_) | Self::Uploads(_) => "",
            Self::Referrers(_, reference)
            | Self::Manifest(_, reference)
            | Self::Blob(_, reference)
            | Self::Upload(_, reference) => reference,
        }
    }

    /// What it is called in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) => "uploads",
            Self::Upload(..) => "upload",
        }
    }
}

/// Reads a path below `/v2`.
///
/// Names may hold the words of routes (`a/blobs/b`), so it is read from its end.
///
/// # Errors
/// When it leads nowhere, or names a repository that cannot be.
pub(crate) fn find(path: &str) -> Result<Route, Refusal> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Refusal::no_page())?;
    let rest = match decoded.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Route::Base),
        Some(rest) => rest.strip_prefix('/').ok_or_else(Refusal::no_page)?,
        None => return Err(Refusal::no_page()),
    };
    if rest == "_catalog" {
        return Ok(Route::Catalog);
    }
    let name = |text: &str| {
        let wrong = || Refusal::new(Code::NameInvalid, "invalid repository name");
        Name::parse(text).ok_or_else(wrong)
    };
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return Ok(Route::Tags(name(repository)?));
    }
    let (head, last) = rest.rsplit_once('/').ok_or_else(Refusal::no_page)?;
    if let Some(repository) = head.strip_suffix("/blobs/uploads") {
        return Ok(match last {
            "" => Route::Uploads(name(repository)?),
            id => Route::Upload(name(repository)?, id.to_owned()),
        });
    }
    let (repository, kind) = head.rsplit_once('/').ok_or_else(Refusal::no_page)?;
    match (kind, last) {
        ("blobs", "uploads") => Ok(Route::Uploads(name(repository)?)),
        ("blobs", digest) => Ok(Route::Blob(name(repository)?, digest.to_owned())),
        ("manifests", reference) => Ok(Route::Manifest(name(repository)?, reference.to_owned())),
        ("referrers", digest) => Ok(Route::Referrers(name(repository)?, digest.to_owned())),
        _ => Err(Refusal::no_page()),
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        let name = |text| Name::parse(text).unwrap();
        let text = |text: &str| text.to_owned();
        for (path, want) in [
            ("/v2", Ok(Route::Base)),
            ("/v2/", Ok(Route::Base)),
            ("/v2/_catalog", Ok(Route::Catalog)),
            ("/v2/a/tags/list", Ok(Route::Tags(name("a")))),
            ("/v2/a/b/manifests/x", Ok(Route::Manifest(name("a/b"), text("x")))),
            ("/v2/a/manifests/sha256%3Ax", Ok(Route::Manifest(name("a"), text("sha256:x")))),
            ("/v2/blobs/manifests/blobs/x", Ok(Route::Blob(name("blobs/manifests"), text("x")))),
            ("/v2/a/blobs/uploads/", Ok(Route::Uploads(name("a")))),
            ("/v2/a/blobs/uploads", Ok(Route::Uploads(name("a")))),
            ("/v2/a/blobs/uploads/1", Ok(Route::Upload(name("a"), text("1")))),
            ("/v2/a/referrers/x", Ok(Route::Referrers(name("a"), text("x")))),
            ("/v2/A/tags/list", Err(StatusCode::BAD_REQUEST)),
            ("/v2/a/../b/blobs/x", Err(StatusCode::BAD_REQUEST)),
            ("/v2/a", Err(StatusCode::NOT_FOUND)),
            ("/v2/a/other/x", Err(StatusCode::NOT_FOUND)),
            ("/v2x", Err(StatusCode::NOT_FOUND)),
            ("/v1/", Err(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(find(path).map_err(|refusal| refusal.status), want, "{path}");
        }
    }
}
