//! Volumes.

use std::collections::BTreeMap;

use crate::body::{Map, body, omit};

body! {
    /// A volume.
    pub struct Volume {
        /// Creation, RFC 3339 in s.
        #[serde(skip_serializing_if = "omit")]
        pub created_at: String,
        /// Driver.
        pub driver: String,
        /// Labels; `null` when none were given.
        pub labels: Option<Map>,
        /// Path on the host.
        pub mountpoint: String,
        /// Name.
        pub name: String,
        /// Driver options; `null` when none were given.
        pub options: Option<Map>,
        /// `local` or `global`.
        pub scope: String,
        /// What the driver tells about it.
        #[serde(skip_serializing_if = "omit")]
        pub status: BTreeMap<String, serde_json::Value>,
        /// Use; in `/system/df` and prune only.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<VolumeUsage>,
    }

    /// Use of a volume.
    pub struct VolumeUsage {
        /// Containers that refer to it; -1 when unknown.
        pub ref_count: i64,
        /// Bytes; -1 when unknown.
        pub size: i64,
    }

    /// Answer to `GET /volumes`.
    pub struct VolumeList {
        /// Volumes.
        pub volumes: Vec<Volume>,
        /// What the client should know; `null` when nothing.
        pub warnings: Option<Vec<String>>,
    }

    /// Body of `POST /volumes/create`.
    pub struct VolumeCreateBody {
        /// Driver; empty for `local`.
        #[serde(skip_serializing_if = "omit")]
        pub driver: String,
        /// Driver options.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_opts: Option<Map>,
        /// Labels.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub labels: Option<Map>,
        /// Name; empty for a random one.
        #[serde(skip_serializing_if = "omit")]
        pub name: String,
        /// Cluster volume; kept as it came.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_volume_spec: Option<serde_json::Value>,
    }

    /// Answer to `POST /volumes/prune`.
    pub struct VolumesPruneReport {
        /// Names removed; `null` when none.
        pub volumes_deleted: Option<Vec<String>>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }
}
