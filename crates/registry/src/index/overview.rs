//! The index at a glance, for people and figures.

use std::sync::Arc;

use gantry_oci::Digest;

use super::{Index, state::Key};
use crate::{metrics::Stock, name::Name};

/// A repository at a glance.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) name: Name,
    pub(crate) tags: usize,
    pub(crate) manifests: usize,
    pub(crate) size_bytes: u64,
}

/// A manifest of a repository at a glance.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) digest: Key,
    /// None for one that is listed without a tag.
    pub(crate) tag: Option<String>,
    pub(crate) media_type: Arc<str>,
    /// The manifest with all that it needs directly.
    pub(crate) size_bytes: u64,
    /// When the tag was set, or the manifest pushed, s since 1970.
    pub(crate) changed_s: u64,
}

impl Index {
    /// How much there is of everything.
    pub(crate) fn stock(&self) -> Stock {
        let state = self.state();
        Stock {
            repositories: state.repositories.len(),
            manifests: state.repositories.values().map(|one| one.manifests.len()).sum(),
            tags: state.repositories.values().map(|one| one.tags.len()).sum(),
            blobs: state.blobs.len(),
            blob_bytes: state.blobs.values().map(|blob| blob.size_bytes).sum(),
            uploads: state.uploads.len(),
        }
    }

    /// Repositories that `allowed` lets through, by name.
    pub(crate) fn summaries(&self, allowed: &dyn Fn(&Name) -> bool) -> Vec<Summary> {
        let state = self.state();
        let seen = state.repositories.iter().filter(|(name, _)| allowed(name));
        seen.map(|(name, has)| Summary {
            name: name.clone(),
            tags: has.tags.len(),
            manifests: has.manifests.len(),
            size_bytes: has.size_bytes,
        })
        .collect()
    }

    /// Tags of a repository by name, then the manifests that have none; none without a repository.
    pub(crate) fn details(&self, name: &Name) -> Option<Vec<Detail>> {
        let state = self.state();
        let repository = state.repositories.get(name)?;
        let detail = |digest: &Key, tag: Option<&String>, changed_s: Option<u64>| {
            let manifest = repository.manifests.get(digest)?;
            let needs = manifest.needs.iter().filter_map(|digest| repository.links.get(digest));
            let blobs: u64 = needs.map(|link| link.size_bytes).sum();
            Some(Detail {
                digest: Arc::clone(digest),
                tag: tag.cloned(),
                media_type: Arc::clone(&manifest.media_type),
                size_bytes: manifest.size_bytes + blobs,
                changed_s: changed_s.unwrap_or(manifest.pushed_s),
            })
        };
        let tagged = repository
            .tags
            .iter()
            .filter_map(|(tag, entry)| detail(&entry.digest, Some(tag), Some(entry.updated_s)));
        let mut all: Vec<Detail> = tagged.collect();
        let has_tag = |digest: &Digest| repository.tags.values().any(|tag| *tag.digest == *digest);
        let mut bare: Vec<&Key> =
            repository.manifests.keys().filter(|digest| !has_tag(digest)).collect();
        bare.sort();
        all.extend(bare.into_iter().filter_map(|digest| detail(digest, None, None)));
        Some(all)
    }
}
