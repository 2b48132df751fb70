//! Which manifest of an index is for a platform.

use gantry_oci::{Descriptor, Index, Platform};

/// The annotation of manifests that are about another one in the same index.
const ABOUT_ANOTHER: &str = "vnd.docker.reference.type";

/// The manifest that fits best; the first among equals. Without a wish it is one that this machine
/// runs by itself.
pub(super) fn manifest<'a>(index: &'a Index, wanted: Option<&Platform>) -> Option<&'a Descriptor> {
    let host = Platform::host();
    let wanted = wanted.unwrap_or(&host);
    let images =
        || index.manifests.iter().filter(|one| !one.annotations.contains_key(ABOUT_ANOTHER));
    let mut best: Option<(u32, &Descriptor)> = None;
    for descriptor in images() {
        // One that says nothing is for whoever asks, if there is nothing better.
        let rank = match &descriptor.platform {
            None => Some(0),
            Some(platform) => rank(platform, wanted),
        };
        if let Some(rank) = rank
            && best.is_none_or(|(known, _)| rank > known)
        {
            best = Some((rank, descriptor));
        }
    }
    best.map(|(_, descriptor)| descriptor)
}

/// How well an image's platform fits; none if it does not.
fn rank(offered: &Platform, wanted: &Platform) -> Option<u32> {
    if offered.os != wanted.os || offered.architecture != wanted.architecture {
        return None;
    }
    match (variant(offered), variant(wanted)) {
        (ours, theirs) if ours == theirs => Some(100),
        // An older variant of ARM runs on a newer machine, the newest of them best.
        (ours, theirs) => match (number(ours), number(theirs)) {
            (Some(ours), Some(theirs)) if ours < theirs => Some(10 + ours),
            // Nothing is said of one of them.
            (None, _) if ours.is_empty() => Some(9),
            (_, None) if theirs.is_empty() => Some(8),
            _ => None,
        },
    }
}

/// The variant, where the usual one of an architecture is written out or not.
fn variant(platform: &Platform) -> &str {
    match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm64", "v8") | ("amd64", "v1") => "",
        ("arm", "") => "v7",
        (_, variant) => variant,
    }
}

fn number(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use gantry_oci::{Digest, image::media};

    use super::*;

    fn index(platforms: &[&str]) -> Index {
        let one = |text: &&str| {
            let mut one = Descriptor::new(media::MANIFEST, Digest::of(text.as_bytes()), 1);
            let mut parts = text.split('/');
            let mut next = || parts.next().unwrap_or_default().to_owned();
            let (os, architecture, variant) = (next(), next(), next());
            one.platform = Some(Platform { os, architecture, variant, ..Platform::default() });
            if *text == "unknown/unknown" {
                one.annotations.insert(ABOUT_ANOTHER.to_owned(), "attestation-manifest".to_owned());
            }
            one
        };
        Index {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            manifests: platforms.iter().map(one).collect(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_best_one_is_chosen() {
        let all = [
            "linux/386",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/amd64",
            "unknown/unknown",
            "linux/arm64/v8",
            "windows/amd64",
        ];
        for (wanted, want) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/arm/v7", Some("linux/arm/v6")),
            ("linux/arm/v5", Some("linux/arm/v5")),
            ("windows/amd64", Some("windows/amd64")),
            ("linux/s390x", None),
            ("unknown/unknown", None),
        ] {
            let index = index(&all);
            let found = manifest(&index, Some(&wanted.parse().unwrap()));
            let found = found.map(|found| found.digest.clone());
            assert_eq!(found, want.map(|want| Digest::of(want.as_bytes())), "{wanted}");
        }
    }

    #[test]
    fn newer_variants_do_not_run() {
        assert!(
            manifest(&index(&["linux/arm/v7"]), Some(&"linux/arm/v6".parse().unwrap())).is_none()
        );
    }
}
