//! Images: list, inspection, history, removal, and the progress messages of their streams.

use serde::{Deserialize, Serialize};

use crate::body::{Map, Set, body, lower_body, null_default, omit, one_or_many};
use crate::container::{ContainerConfig, GraphDriver, HealthConfig};

body! {
    /// An answer that only carries an ID (`/commit`, `/containers/{id}/exec`).
    pub struct IdResponse {
        /// Full ID.
        pub id: String,
    }

    /// A row of `GET /images/json`.
    pub struct ImageSummary {
        /// Containers that use it; -1 when not counted.
        pub containers: i64,
        /// Creation, Unix time in s.
        pub created: i64,
        /// Full ID with its algorithm.
        pub id: String,
        /// Labels; `null` when the image has none.
        pub labels: Option<Map>,
        /// Parent's ID, of locally built images.
        pub parent_id: String,
        /// Descriptor of the image's target; from 1.48.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
        /// Manifests; with `manifests=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifests: Option<Vec<ManifestSummary>>,
        /// `name@digest`.
        pub repo_digests: Vec<String>,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// Bytes shared with other images; -1 when not computed.
        pub shared_size: i64,
        /// Bytes of all layers.
        pub size: i64,
        /// Same as `size`; before 1.44.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<i64>,
    }

    /// One manifest of an image.
    pub struct ManifestSummary {
        /// Digest.
        #[serde(rename = "ID")]
        pub id: String,
        /// Descriptor.
        pub descriptor: Descriptor,
        /// Everything it needs is here.
        pub available: bool,
        /// Sizes in bytes.
        pub size: ManifestSize,
        /// `image`, `attestation` or `unknown`.
        pub kind: String,
        /// Details of an image manifest.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_data: Option<ManifestImageData>,
        /// Details of an attestation manifest.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub attestation_data: Option<ManifestAttestationData>,
    }

    /// Sizes of a manifest.
    pub struct ManifestSize {
        /// Bytes of content and unpacked data.
        pub total: i64,
        /// Bytes of content.
        pub content: i64,
    }

    /// Image part of a manifest row.
    pub struct ManifestImageData {
        /// Platform.
        pub platform: Platform,
        /// Containers that use it.
        pub containers: Vec<String>,
        /// Sizes.
        pub size: ManifestImageSize,
    }

    /// Unpacked size of a manifest.
    pub struct ManifestImageSize {
        /// Bytes unpacked.
        pub unpacked: i64,
    }

    /// Attestation part of a manifest row.
    pub struct ManifestAttestationData {
        /// Digest of the manifest that it is about.
        pub r#for: String,
    }

    /// Answer to `GET /images/{name}/json`.
    pub struct ImageInspect {
        /// Full ID with its algorithm.
        pub id: String,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// `name@digest`.
        pub repo_digests: Vec<String>,
        /// Parent's ID; before 1.52 always there.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parent: Option<String>,
        /// Commit message.
        pub comment: String,
        /// Creation, RFC 3339 with ns; absent when the image tells none.
        #[serde(skip_serializing_if = "omit")]
        pub created: String,
        /// Container it was committed from; before 1.45.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container: Option<String>,
        /// That container's configuration; before 1.45.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container_config: Option<ContainerConfig>,
        /// Version that made it; before 1.52 always there.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub docker_version: Option<String>,
        /// Author.
        pub author: String,
        /// Configuration for containers.
        pub config: Option<ImageConfig>,
        /// Processor architecture.
        pub architecture: String,
        /// Its variant.
        #[serde(skip_serializing_if = "omit")]
        pub variant: String,
        /// Operating system.
        pub os: String,
        /// Its version; Windows.
        #[serde(skip_serializing_if = "omit")]
        pub os_version: String,
        /// Bytes of all layers.
        pub size: i64,
        /// Same as `size`; before 1.44.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<i64>,
        /// Storage driver and its paths; before 1.52 always there.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub graph_driver: Option<GraphDriver>,
        /// Layers.
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        /// Local facts.
        pub metadata: ImageMetadata,
        /// Descriptor of the image's target; from 1.48.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
        /// Manifests; with `manifests=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifests: Option<Vec<ManifestSummary>>,
    }

    /// Layers of an image.
    pub struct RootFs {
        /// `layers`.
        #[serde(rename = "Type")]
        pub kind: String,
        /// Diff IDs, lowest first.
        #[serde(skip_serializing_if = "omit")]
        pub layers: Vec<String>,
    }

    /// Local facts of an image.
    pub struct ImageMetadata {
        /// Last tag, RFC 3339 with ns.
        pub last_tag_time: String,
    }

    /// A row of `GET /images/{name}/history`.
    pub struct HistoryItem {
        /// Commit message.
        pub comment: String,
        /// Creation, Unix time in s.
        pub created: i64,
        /// Instruction.
        pub created_by: String,
        /// Image ID, or `<missing>`.
        pub id: String,
        /// Bytes of the layer.
        pub size: i64,
        /// Tags; `null` when none.
        pub tags: Option<Vec<String>>,
    }

    /// A row of `DELETE /images/{name}`: one of the two.
    pub struct ImageDeleteItem {
        /// Reference removed.
        #[serde(skip_serializing_if = "omit")]
        pub untagged: String,
        /// ID removed.
        #[serde(skip_serializing_if = "omit")]
        pub deleted: String,
    }

    /// Answer to `POST /images/prune`.
    pub struct ImagesPruneReport {
        /// What was removed; `null` when nothing.
        pub images_deleted: Option<Vec<ImageDeleteItem>>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }

    /// Answer to `GET /distribution/{name}/json`.
    pub struct DistributionInspect {
        /// Descriptor in the registry.
        pub descriptor: Descriptor,
        /// Platforms it is for.
        pub platforms: Vec<Platform>,
    }
}

/// Configuration of an image. From 1.50 only what OCI knows, and empty values are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// `user[:group]`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub user: String,
    /// Exposed ports, `80/tcp`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub exposed_ports: Set,
    /// `KEY=value`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub env: Vec<String>,
    /// Program before the command.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Command.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths that get an anonymous volume.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub volumes: Set,
    /// Working directory.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub labels: Map,
    /// Signal that asks a container to stop.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub stop_signal: String,
    /// Windows: the command line is already escaped.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub args_escaped: bool,
    /// Health probe.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Triggers for images built on this one.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub on_build: Vec<String>,
    /// Shell of shell-form commands.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

impl From<ImageConfig> for ContainerConfig {
    /// The shape of an image's configuration before API 1.50.
    fn from(image: ImageConfig) -> Self {
        Self {
            user: image.user,
            exposed_ports: image.exposed_ports,
            env: (!image.env.is_empty()).then_some(image.env),
            entrypoint: image.entrypoint,
            cmd: image.cmd,
            volumes: (!image.volumes.is_empty()).then_some(image.volumes),
            working_dir: image.working_dir,
            labels: (!image.labels.is_empty()).then_some(image.labels),
            stop_signal: image.stop_signal,
            args_escaped: image.args_escaped,
            healthcheck: image.healthcheck,
            on_build: (!image.on_build.is_empty()).then_some(image.on_build),
            shell: image.shell,
            ..Self::default()
        }
    }
}

lower_body! {
    /// OCI content descriptor.
    pub struct Descriptor {
        /// Media type.
        #[serde(rename = "mediaType")]
        pub media_type: String,
        /// Digest.
        pub digest: String,
        /// Size in bytes.
        pub size: i64,
        /// Where else to fetch it.
        #[serde(skip_serializing_if = "omit")]
        pub urls: Vec<String>,
        /// Annotations.
        #[serde(skip_serializing_if = "omit")]
        pub annotations: Map,
        /// Platform.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub platform: Option<Platform>,
        /// Type of an artifact.
        #[serde(rename = "artifactType", skip_serializing_if = "omit")]
        pub artifact_type: String,
    }

    /// OCI platform.
    pub struct Platform {
        /// Processor architecture.
        pub architecture: String,
        /// Operating system.
        pub os: String,
        /// Its version; Windows.
        #[serde(rename = "os.version", skip_serializing_if = "omit")]
        pub os_version: String,
        /// Its features; Windows.
        #[serde(rename = "os.features", skip_serializing_if = "omit")]
        pub os_features: Vec<String>,
        /// Variant of the architecture.
        #[serde(skip_serializing_if = "omit")]
        pub variant: String,
    }

    /// A row of `GET /images/search`.
    pub struct SearchResult {
        /// Stars.
        pub star_count: i64,
        /// Official image.
        pub is_official: bool,
        /// Repository.
        pub name: String,
        /// Always false nowadays.
        pub is_automated: bool,
        /// Text.
        pub description: String,
    }

    /// One line of a progress stream (pull, push, build, load, import).
    pub struct JsonMessage {
        /// Build output.
        #[serde(skip_serializing_if = "omit")]
        pub stream: String,
        /// What happens.
        #[serde(skip_serializing_if = "omit")]
        pub status: String,
        /// How far; `{}` when a step has no numbers.
        #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
        pub progress_detail: Option<ProgressDetail>,
        /// Progress bar as text.
        #[serde(skip_serializing_if = "omit")]
        pub progress: String,
        /// Layer or tag that the line is about.
        #[serde(skip_serializing_if = "omit")]
        pub id: String,
        /// Source of an old event.
        #[serde(skip_serializing_if = "omit")]
        pub from: String,
        /// Unix time in s.
        #[serde(skip_serializing_if = "omit")]
        pub time: i64,
        /// Unix time in ns.
        #[serde(rename = "timeNano", skip_serializing_if = "omit")]
        pub time_nano: i64,
        /// Failure.
        #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
        pub error_detail: Option<ErrorDetail>,
        /// Failure's text once more, for old clients.
        #[serde(skip_serializing_if = "omit")]
        pub error: String,
        /// Data for programs.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub aux: Option<serde_json::Value>,
    }

    /// How far a step is.
    pub struct ProgressDetail {
        /// Done, in bytes or `units`.
        #[serde(skip_serializing_if = "omit")]
        pub current: i64,
        /// Of how many.
        #[serde(skip_serializing_if = "omit")]
        pub total: i64,
        /// Start, Unix time in s.
        #[serde(skip_serializing_if = "omit")]
        pub start: i64,
        /// Hide the numbers.
        #[serde(skip_serializing_if = "omit")]
        pub hidecounts: bool,
        /// Unit when it is not bytes.
        #[serde(skip_serializing_if = "omit")]
        pub units: String,
    }

    /// Failure within a stream.
    pub struct ErrorDetail {
        /// Exit code or status; 0 when none.
        #[serde(skip_serializing_if = "omit")]
        pub code: i64,
        /// Text for people.
        pub message: String,
    }
}
