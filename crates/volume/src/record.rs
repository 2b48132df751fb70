//! What is kept of a volume, and what is shown of it.

use std::collections::BTreeMap;

use gantry_store::Record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The driver that is built in.
pub const LOCAL: &str = "local";

/// The label of volumes whose name nobody asked for, as Docker has it from 23.0 on.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver: `local`, or a plugin's name.
    #[serde(default = "local")]
    pub driver: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Labels; none given is `None`, as the API tells the two apart.
    pub labels: Option<BTreeMap<String, String>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether it got its name from us.
    pub anonymous: bool,
    /// The project that its quota is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<u32>,
    /// Where its plugin mounted it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin_path: Option<String>,
}

fn local() -> String {
    LOCAL.to_owned()
}

impl Record for Volume {
    const TABLE: &'static str = "volume";
    const VERSION: u32 = 1;
}

impl Volume {
    /// Whether the built-in driver has it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.driver == LOCAL
    }

    /// Marks it as one whose name nobody asked for.
    pub(crate) fn mark_anonymous(&mut self) {
        self.anonymous = true;
        self.labels.get_or_insert_default().insert(ANONYMOUS_LABEL.to_owned(), String::new());
    }

    /// Whether it is a directory of ours and nothing else: what `df` measures and `prune` removes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.is_local() && self.options.as_ref().is_none_or(BTreeMap::is_empty)
    }
}

/// What a volume is made from.
#[derive(Clone, Debug, Default)]
pub struct CreateVolume {
    /// Its name; without one it gets 64 hex digits.
    pub name: Option<String>,
    /// The driver; empty means the one that has the volume, or `local`.
    pub driver: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether nobody asked for the name.
    pub anonymous: bool,
}

/// What a creation gave.
#[derive(Clone, Debug)]
pub struct Created {
    /// The volume.
    pub volume: Volume,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// A volume as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// What we know.
    pub volume: Volume,
    /// Where it is on this host.
    pub mountpoint: String,
    /// `local` or `global`.
    pub scope: String,
    /// What its plugin tells about it.
    pub status: BTreeMap<String, serde_json::Value>,
}

/// Now, as volumes have it.
pub(crate) fn now() -> String {
    seconds(Timestamp::now())
}

/// RFC 3339 to the second, as Docker has it for volumes.
pub(crate) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
