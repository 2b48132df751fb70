//! Records of images and names in the store.

use gantry_oci::Digest;
use gantry_store::Record;
use serde::{Deserialize, Serialize};

use crate::LayerRecord;

/// An image; its key is its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) parent: Option<Digest>,
    pub(crate) last_tagged: Option<String>,
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
