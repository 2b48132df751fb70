//! Records of images and names in the store.

use gantry_oci::{Descriptor, Digest};
use gantry_store::Record;
use serde::{Deserialize, Serialize};

use crate::{LayerRecord, Origin};

/// An image; its key is its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) parent: Option<Digest>,
    pub(crate) last_tagged: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<Origin>,
}

impl Record for ImageRecord {
    const TABLE: &'static str = "image";
    const VERSION: u32 = 1;
}

/// A name, with a tag or a digest; its key is the canonical reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub(crate) image: Digest,
}

impl Record for NameRecord {
    const TABLE: &'static str = "image_name";
    const VERSION: u32 = 1;
}

/// A layer that came for an image which is not whole yet, so that the next try finds it; its key is
/// the blob's digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FetchedRecord {
    pub(crate) layer: LayerRecord,
    /// When it came, s since 1970.
    pub(crate) at_s: i64,
}

impl Record for FetchedRecord {
    const TABLE: &'static str = "fetched_layer";
    const VERSION: u32 = 1;
}

/// A blob of a layer that was seen in registries, whether it is here or not; its key is the blob's
/// digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlacesRecord {
    pub(crate) diff_id: Digest,
    pub(crate) media_type: String,
    pub(crate) size_bytes: u64,
    /// Made here, so that compressing the layer again gives this blob again.
    pub(crate) made_here: bool,
    /// Repositories that have it, in full, newest last.
    pub(crate) repositories: Vec<String>,
    /// How a manifest named it, if registries may not give it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) foreign: Option<Descriptor>,
}

impl Record for PlacesRecord {
    const TABLE: &'static str = "layer_places";
    const VERSION: u32 = 1;
}
