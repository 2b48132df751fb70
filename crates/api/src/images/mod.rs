//! `/images`, and `commit`.

pub(crate) mod change;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod transfer;

use gantry_oci::{Reference, ReferenceError};

use crate::error::ApiError;

/// Refuses a reference.
pub(crate) fn bad_reference(error: &ReferenceError) -> ApiError {
    ApiError::invalid(error.to_string())
}

/// The name that `repo` and `tag` give: none without a repository, `latest` without a tag.
pub(crate) fn repo_tag(repo: &str, tag: &str) -> Result<Option<Reference>, ApiError> {
    if repo.is_empty() {
        return Ok(None);
    }
    let reference: Reference = repo.parse().map_err(|error| bad_reference(&error))?;
    if reference.digest().is_some() {
        return Err(ApiError::invalid("cannot import digest reference"));
    }
    if tag.is_empty() {
        return Ok(Some(reference.or_latest()));
    }
    reference.with_tag(tag).map(Some).map_err(|error| bad_reference(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repo_and_tag() {
        for (repo, tag, want) in [
            ("", "", Some(None)),
            ("", "x", Some(None)),
            ("bb", "", Some(Some("bb:latest"))),
            ("bb:1", "", Some(Some("bb:1"))),
            ("bb", "2", Some(Some("bb:2"))),
            ("reg:5000/a/b", "2", Some(Some("reg:5000/a/b:2"))),
            ("BAD", "", None),
            ("bb", "a b", None),
        ] {
            let got = repo_tag(repo, tag).ok().map(|name| name.map(|name| name.familiar()));
            let want = want.map(|name| name.map(str::to_owned));
            assert_eq!(got, want, "{repo} {tag}");
        }
    }
}
