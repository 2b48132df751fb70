//! `signedIdentity`: which names a signature may carry for an image.

use gantry_oci::Reference;

use crate::scope;

/// What the name in a signature is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedIdentity {
    /// It is the image's.
    MatchExact,
    /// It is the image's; for an image by digest any of its repository.
    MatchRepoDigestOrExact,
    /// It is of the image's repository.
    MatchRepository,
    /// It is this one.
    ExactReference(Reference),
    /// It is of this repository.
    ExactRepository(Reference),
    /// As [`Self::MatchRepoDigestOrExact`], after a prefix of the image's name has become another.
    RemapIdentity {
        /// What the image's name begins with.
        prefix: String,
        /// What stands for it in signatures.
        signed_prefix: String,
    },
    /// Any, or none: the digest alone counts. Ours; other readers of policies know no such thing.
    MatchDigest,
}

impl SignedIdentity {
    /// Whether a signature with the name `signed`, or without one, is for `image`; none for one that
    /// has no name.
    pub(crate) fn accepts(&self, image: Option<&Reference>, signed: Option<&str>) -> bool {
        if *self == Self::MatchDigest {
            return true;
        }
        let Some(signed) = signed.and_then(|text| text.parse::<Reference>().ok()) else {
            return false;
        };
        let image = image.map(scope::identity);
        match (self, &image) {
            (Self::ExactReference(wanted), _) => same(wanted, &signed),
            (Self::ExactRepository(wanted), _) => wanted.name() == signed.name(),
            (Self::MatchExact, Some(image)) => same(image, &signed),
            (Self::MatchRepository, Some(image)) => image.name() == signed.name(),
            (Self::MatchRepoDigestOrExact, Some(image)) => repo_digest_or_exact(image, &signed),
            (Self::RemapIdentity { prefix, signed_prefix }, Some(image)) => {
                remapped(image, prefix, signed_prefix)
                    .is_some_and(|image| repo_digest_or_exact(&image, &signed))
            }
            (Self::MatchDigest, _) => true,
            (_, None) => false,
        }
    }
}

/// Whether two names are one, and say which image of the repository they mean.
fn same(one: &Reference, other: &Reference) -> bool {
    !one.is_name_only() && one == other
}

fn repo_digest_or_exact(image: &Reference, signed: &Reference) -> bool {
    match image.digest() {
        Some(_) => image.name() == signed.name(),
        None => same(image, signed),
    }
}

/// The image's name with another prefix; the same one where it has not the first. None where that
/// gives no name in full.
fn remapped(image: &Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let full = image.canonical();
    let rest = full.strip_prefix(prefix).filter(|rest| {
        // Only whole components are replaced, and never beyond the repository.
        rest.starts_with('/') || image.name() == prefix
    });
    let Some(rest) = rest else { return Some(image.clone()) };
    let text = format!("{signed_prefix}{rest}");
    text.parse::<Reference>().ok().filter(|parsed| parsed.canonical() == text)
}

/// Whether a text may be a prefix of names: a host, or a repository or what is above one, in full.
pub(crate) fn is_prefix(text: &str) -> bool {
    // A host and anything below it is a name; the tag that must not be there would be part of it.
    let parsed = format!("{text}/x").parse::<Reference>();
    parsed.is_ok_and(|parsed| parsed.name() == format!("{text}/x"))
}

#[cfg(test)]
mod tests {
    use super::{SignedIdentity as Is, *};

    #[test]
    fn names_are_compared_as_the_manual_says() {
        let digest = gantry_oci::Digest::of(b"");
        let by_digest = format!("r.io/a@{digest}");
        let by_digest = by_digest.as_str();
        let name = |text: &str| text.parse::<Reference>().unwrap();
        let remap = |prefix: &str, signed_prefix: &str| Is::RemapIdentity {
            prefix: prefix.to_owned(),
            signed_prefix: signed_prefix.to_owned(),
        };
        for (rule, image, signed, want) in [
            (Is::MatchExact, "r.io/a:1", "r.io/a:1", true),
            (Is::MatchExact, "r.io/a:1", "r.io/a:2", false),
            (Is::MatchExact, "r.io/a:1", "r.io/a", false),
            (Is::MatchExact, by_digest, "r.io/a:1", false),
            (Is::MatchExact, by_digest, by_digest, true),
            (Is::MatchExact, "busybox", "busybox:latest", true),
            (Is::MatchExact, "busybox", "docker.io/library/busybox:latest", true),
            (Is::MatchRepoDigestOrExact, "r.io/a:1", "r.io/a:1", true),
            (Is::MatchRepoDigestOrExact, "r.io/a:1", "r.io/a", false),
            (Is::MatchRepoDigestOrExact, by_digest, "r.io/a:7", true),
            (Is::MatchRepoDigestOrExact, by_digest, "r.io/a", true),
            (Is::MatchRepoDigestOrExact, by_digest, "r.io/b:7", false),
            (Is::MatchRepository, "r.io/a:1", "r.io/a:2", true),
            (Is::MatchRepository, "r.io/a:1", "r.io/a", true),
            (Is::MatchRepository, "r.io/a:1", "r.io/ab", false),
            (Is::MatchRepository, "r.io/a:1", "UPPER", false),
            (Is::ExactReference(name("v.io/x:1")), "r.io/a:1", "v.io/x:1", true),
            (Is::ExactReference(name("v.io/x:1")), "v.io/x:1", "v.io/x:2", false),
            (Is::ExactRepository(name("v.io/x")), "r.io/a:1", "v.io/x:9", true),
            (Is::ExactRepository(name("v.io/x")), "r.io/a:1", "v.io/y:9", false),
            (remap("r.io/m", "v.io"), "r.io/m/p/a:1", "v.io/p/a:1", true),
            (remap("r.io/m", "v.io"), "r.io/m/p/a:1", "r.io/m/p/a:1", false),
            (remap("r.io/m", "v.io"), "r.io/mm/a:1", "r.io/mm/a:1", true),
            (remap("r.io/m", "v.io/n"), "r.io/m:1", "v.io/n:1", true),
            (remap("r.io", "v.io:5000"), "r.io:80/m:1", "r.io:80/m:1", true),
            (remap("r.io", "v.io:5000"), "r.io/m:1", "v.io:5000/m:1", true),
            // What comes out is no name in full.
            (remap("r.io", "short"), "r.io/m:1", "docker.io/short/m:1", false),
            (Is::MatchDigest, "r.io/a:1", "v.io/y:9", true),
        ] {
            assert_eq!(
                rule.accepts(Some(&name(image)), Some(signed)),
                want,
                "{rule:?} {image} {signed}"
            );
            assert_eq!(rule.accepts(Some(&name(image)), None), rule == Is::MatchDigest, "{rule:?}");
        }
        // What has no name of its own is held against names that the policy gives.
        assert!(Is::ExactRepository(name("v.io/x")).accepts(None, Some("v.io/x:1")));
        assert!(!Is::MatchRepository.accepts(None, Some("v.io/x:1")));
    }

    #[test]
    fn prefixes_are_in_full() {
        for (text, want) in [
            ("r.io", true),
            ("r.io:5000", true),
            ("localhost", true),
            ("docker.io/library", true),
            ("r.io/a/b", true),
            ("r.io/a:1", false),
            ("r.io/", false),
            ("", false),
            ("UPPER/a b", false),
        ] {
            assert_eq!(is_prefix(text), want, "{text:?}");
        }
    }
}
