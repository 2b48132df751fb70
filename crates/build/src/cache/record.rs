//! Records of results, as the store keeps them.

use gantry_oci::Digest;
use gantry_store::Record as StoreRecord;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::RecordKind;

/// Digits of a record's id, as BuildKit has them.
const ID_DIGITS: usize = 25;
/// Definitions that a record remembers; the oldest goes.
const DEFINITIONS_MAX: usize = 8;
/// Contents that it remembers.
const CONTENTS_MAX: usize = 16;

/// A layer of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Bytes of its tar.
    pub tar_bytes: u64,
    /// The definition that made it; none if it came with an image.
    pub made_by: Option<Digest>,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
}

/// The layers that one definition led to, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// Its key.
    pub key: Digest,
    /// All layers of the result.
    pub layers: Vec<Layer>,
}

/// A part of what a key is made of: its name, and some digits of its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What it is.
    pub name: String,
    /// Tells whether it is the same as another.
    pub hash: String,
}

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The layer that this step added; none if it changed nothing.
    pub layer: Option<Layer>,
    /// What it is.
    pub kind: RecordKind,
    /// Of what it came, for people.
    pub description: String,
    /// The instruction, by which a later one finds what to compare itself with.
    pub instruction: String,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// When it was last used.
    pub last_used_ms: i64,
    /// How often.
    pub uses: u64,
    /// Keys by definition, with the layers that each leads to; the newest last.
    pub definitions: Vec<Definition>,
    /// Keys by content.
    pub contents: Vec<Digest>,
    /// What the newest key was made of.
    pub parts: Vec<Part>,
    /// Ids of the records that it builds upon.
    pub parents: Vec<String>,
}

impl StoreRecord for Record {
    const TABLE: &'static str = "build_cache";
    const VERSION: u32 = 1;
}

impl Record {
    /// Adds a definition, or replaces the one of the same key.
    pub(crate) fn define(&mut self, definition: Definition) {
        self.definitions.retain(|known| known.key != definition.key);
        if self.definitions.len() >= DEFINITIONS_MAX {
            self.definitions.remove(0);
        }
        self.definitions.push(definition);
    }

    /// Adds a key by content.
    pub(crate) fn contain(&mut self, key: Digest) {
        self.contents.retain(|known| *known != key);
        if self.contents.len() >= CONTENTS_MAX {
            self.contents.remove(0);
        }
        self.contents.push(key);
    }

    /// All layers that it needs.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.definitions.iter().flat_map(|definition| &definition.layers).chain(&self.layer)
    }

    /// How many layers lie below: what builds upon others goes before them.
    pub(crate) fn depth(&self) -> usize {
        self.definitions.iter().map(|definition| definition.layers.len()).max().unwrap_or_default()
    }
}

/// An id that nothing has.
pub(crate) fn fresh_id() -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    random::<ID_DIGITS>()
        .iter()
        .map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()]))
        .collect()
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // It only fails before the kernel has gathered any randomness, or when interrupted.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or_default();
    }
    bytes
}
