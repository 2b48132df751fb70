//! What the store keeps.

use gantry_oci::Digest;
use gantry_store::Record;
use serde::{Deserialize, Serialize};

use crate::name::Name;

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

/// A tag; key `name:tag`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TagRecord {
    pub(super) digest: Digest,
    pub(super) updated_s: u64,
    /// It came from an upstream.
    #[serde(default)]
    pub(super) fetched: bool,
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
