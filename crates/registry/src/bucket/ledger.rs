//! Manifests and tags in the bucket, beside the index on the local disk.
//!
//! What a client is told is there first, then in the index. So an index that is lost can be made
//! again: manifests name what they need, and with that a repository has it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt, future::try_join_all};
use gantry_oci::Digest;
use serde::{Deserialize, Serialize};

use super::{Bucket, Object};
use crate::{blobs::BlobError, index::TagRecord, name::Name};

/// Whose bucket it is.
const HOME: &str = "registry.json";
const REPOSITORIES: &str = "repositories";
/// No part of a repository's name begins with an underscore.
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";

#[derive(Serialize, Deserialize)]
struct HomeEntry {
    id: String,
}

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Manifest(Name, Digest),
    Tag(Name, String),
}

impl Entry {
    fn object(&self) -> String {
        match self {
            Self::Manifest(name, digest) => {
                let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
                format!("{REPOSITORIES}/{name}/{MANIFESTS}/{algorithm}/{hex}")
            }
            Self::Tag(name, tag) => format!("{REPOSITORIES}/{name}/{TAGS}/{tag}"),
        }
    }

    /// Reads an object's name; none if it is nothing of ours.
    fn of(object: &str) -> Option<Self> {
        let rest = object.strip_prefix(REPOSITORIES)?.strip_prefix('/')?;
        if let Some((name, rest)) = rest.split_once(&format!("/{MANIFESTS}/")) {
            let digest = rest.replacen('/', ":", 1).parse().ok()?;
            return Some(Self::Manifest(Name::parse(name)?, digest));
        }
        let (name, tag) = rest.split_once(&format!("/{TAGS}/"))?;
        gantry_oci::is_tag(tag).then_some(Self::Tag(Name::parse(name)?, tag.to_owned()))
    }
}

/// The part of a bucket that knows manifests and tags.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Bucket>);

impl Ledger {
    pub(crate) fn new(bucket: Arc<Bucket>) -> Self {
        Self(bucket)
    }

    /// For people: whose it is.
    pub(crate) fn label(&self) -> &str {
        self.0.label()
    }

    /// The id of the registry that the bucket belongs to; none if it is new.
    pub(crate) async fn home(&self) -> Result<Option<String>, BlobError> {
        let Some(object) = self.0.get(HOME).await? else { return Ok(None) };
        let entry: HomeEntry = read(HOME, &object)?;
        Ok(Some(entry.id))
    }

    /// Makes the bucket this registry's.
    pub(crate) async fn settle(&self, id: &str) -> Result<(), BlobError> {
        self.write(HOME, &HomeEntry { id: id.to_owned() }).await
    }

    /// Puts a manifest, and then the tags that point at it.
    pub(crate) async fn put(
        &self,
        name: &Name,
        digest: &Digest,
        manifest: (Bytes, &str),
        tags: &[String],
        pointing: &TagRecord,
    ) -> Result<(), BlobError> {
        let (body, media_type) = manifest;
        let object = Entry::Manifest(name.clone(), digest.clone()).object();
        self.0.put(&object, body, media_type).await?;
        let put = tags.iter().map(async |tag| {
            self.write(&Entry::Tag(name.clone(), tag.clone()).object(), pointing).await
        });
        try_join_all(put).await.map(drop)
    }

    /// Removes tags, and then the manifest if one is named.
    pub(crate) async fn remove(
        &self,
        name: &Name,
        tags: &[String],
        manifest: Option<&Digest>,
    ) -> Result<(), BlobError> {
        let gone = tags
            .iter()
            .map(async |tag| self.0.remove(&Entry::Tag(name.clone(), tag.clone()).object()).await);
        try_join_all(gone).await?;
        match manifest {
            Some(digest) => {
                self.0.remove(&Entry::Manifest(name.clone(), digest.clone()).object()).await
            }
            None => Ok(()),
        }
    }

    /// All manifests and tags.
    pub(crate) async fn entries(&self) -> Result<Vec<Entry>, BlobError> {
        let all = self.0.list(REPOSITORIES);
        all.try_filter_map(async |(object, _)| Ok(Entry::of(&object))).try_collect().await
    }

    /// A manifest's object; none if it went meanwhile.
    ///
    /// # Errors
    /// Also when the bytes are not what their name says.
    pub(crate) async fn manifest(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<Object>, BlobError> {
        let object = Entry::Manifest(name.clone(), digest.clone()).object();
        let Some(found) = self.0.get(&object).await? else { return Ok(None) };
        let mut hasher = gantry_oci::Hasher::new(digest.algorithm());
        hasher.update(&found.bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(BlobError::Mismatch { expected: digest.clone(), actual });
        }
        Ok(Some(found))
    }

    /// A tag's object; none if it went meanwhile.
    pub(crate) async fn tag(&self, name: &Name, tag: &str) -> Result<Option<TagRecord>, BlobError> {
        let object = Entry::Tag(name.clone(), tag.to_owned()).object();
        let Some(found) = self.0.get(&object).await? else { return Ok(None) };
        read(&object, &found).map(Some)
    }

    async fn write(&self, object: &str, value: &impl Serialize) -> Result<(), BlobError> {
        // Digests, numbers and texts: there is nothing in them that JSON has no form for.
        let bytes = serde_json::to_vec(value).map_err(|error| unreadable(object, error))?;
        self.0.put(object, bytes.into(), "application/json").await
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str, object: &Object) -> Result<T, BlobError> {
    serde_json::from_slice(&object.bytes).map_err(|error| unreadable(name, error))
}

fn unreadable(object: &str, error: serde_json::Error) -> BlobError {
    let what = format!("{object} of the bucket, which nobody else should write");
    BlobError::Io { step: "understanding", what, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_names() {
        let name = Name::parse("team/a").expect("a name");
        let digest = Digest::of(b"x");
        for entry in [Entry::Manifest(name.clone(), digest), Entry::Tag(name, "v1.0_x".to_owned())]
        {
            assert_eq!(Entry::of(&entry.object()), Some(entry));
        }
        for other in [
            "repositories/a/_tags/.x",
            "repositories/A/_tags/x",
            "repositories/a/_manifests/sha256/12",
            "blobs/sha256/00",
            "repositories/_tags/x",
        ] {
            assert_eq!(Entry::of(other), None, "{other}");
        }
    }
}
