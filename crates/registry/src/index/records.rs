//! What the store keeps.

use gantry_oci::Digest;
use gantry_store::Record;
use serde::{Deserialize, Serialize};

use crate::{manifest::Parsed, name::Name};

/// A manifest of a repository; key `name@digest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ManifestRecord {
    pub(super) media_type: String,
    pub(super) size_bytes: u64,
    pub(super) pushed_s: u64,
    /// Blobs and manifests that it needs.
    #[serde(default)]
    pub(super) needs: Vec<Digest>,
    #[serde(default)]
    pub(super) subject: Option<Digest>,
}

impl ManifestRecord {
    pub(super) fn of(parsed: &Parsed, size_bytes: u64, pushed_s: u64) -> Self {
        let needs = parsed.blobs.iter().chain(&parsed.manifests);
        Self {
            media_type: parsed.media_type.clone(),
            size_bytes,
            pushed_s,
            needs: needs.map(|target| target.digest.clone()).collect(),
            subject: parsed.subject.clone(),
        }
    }
}

impl Record for ManifestRecord {
    const TABLE: &'static str = "manifest";
    const VERSION: u32 = 1;
}

/// Its bytes, which are UTF-8 since they are JSON; key `name@digest`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BodyRecord {
    pub(super) text: String,
}

impl Record for BodyRecord {
    const TABLE: &'static str = "body";
    const VERSION: u32 = 1;
}

/// A tag; key `name:tag`. It has this form in a bucket, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TagRecord {
    pub(crate) digest: Digest,
    pub(crate) updated_s: u64,
    /// It came from an upstream.
    #[serde(default)]
    pub(crate) fetched: bool,
}

impl Record for TagRecord {
    const TABLE: &'static str = "tag";
    const VERSION: u32 = 1;
}

/// A blob that a repository has; key `name@digest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LinkRecord {
    pub(super) size_bytes: u64,
}

impl Record for LinkRecord {
    const TABLE: &'static str = "link";
    const VERSION: u32 = 1;
}

/// An upload under way; key is its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) repository: String,
    /// Name of the digest's algorithm, as far as is known.
    pub(crate) algorithm: String,
    pub(crate) started_s: u64,
}

impl Record for UploadRecord {
    const TABLE: &'static str = "upload";
    const VERSION: u32 = 1;
}

/// That the index is of what a bucket has; there is one, or none.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HomeRecord {
    /// What the bucket's own object says, too.
    pub(super) id: String,
    /// All of what the bucket had has been taken in.
    pub(super) whole: bool,
}

impl Record for HomeRecord {
    const TABLE: &'static str = "home";
    const VERSION: u32 = 1;
}

pub(super) fn digest_key(name: &Name, digest: &Digest) -> String {
    format!("{name}@{digest}")
}

pub(super) fn tag_key(name: &Name, tag: &str) -> String {
    format!("{name}:{tag}")
}

pub(super) fn split_digest_key(key: &str) -> Option<(Name, Digest)> {
    let (name, digest) = key.split_once('@')?;
    Some((Name::parse(name)?, digest.parse().ok()?))
}

pub(super) fn split_tag_key(key: &str) -> Option<(Name, &str)> {
    let (name, tag) = key.split_once(':')?;
    Some((Name::parse(name)?, tag))
}
