//! Builds: cache records, and what a build hands to its client.

use crate::body::{body, omit};

body! {
    /// A record of the build cache.
    pub struct BuildCache {
        /// ID.
        #[serde(rename = "ID")]
        pub id: String,
        /// Parent's ID; before 1.42.
        #[serde(skip_serializing_if = "omit")]
        pub parent: String,
        /// Parents' IDs.
        #[serde(skip_serializing_if = "omit")]
        pub parents: Vec<String>,
        /// `regular`, `source.local`, `exec.cachemount`, ...
        #[serde(rename = "Type")]
        pub kind: String,
        /// What it is.
        pub description: String,
        /// A build uses it now.
        pub in_use: bool,
        /// Its bytes are shared with an image.
        pub shared: bool,
        /// Bytes.
        pub size: i64,
        /// Creation, RFC 3339 with ns.
        pub created_at: String,
        /// Last use, RFC 3339 with ns; `null` for never.
        pub last_used_at: Option<String>,
        /// Number of uses.
        pub usage_count: i64,
    }

    /// Answer to `POST /build/prune`.
    pub struct BuildPruneReport {
        /// IDs removed; `null` when none.
        pub caches_deleted: Option<Vec<String>>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }

    /// `aux` of the line that tells a finished build's image.
    pub struct BuildResult {
        /// Image's ID.
        #[serde(rename = "ID")]
        pub id: String,
    }

    /// `aux` of the line that ends a push.
    pub struct PushResult {
        /// Tag.
        pub tag: String,
        /// Manifest's digest.
        pub digest: String,
        /// Manifest's size in bytes.
        pub size: i64,
    }
}
