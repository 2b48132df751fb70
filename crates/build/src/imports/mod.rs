//! Caches that a build takes results from besides the daemon's own: directories of the client's,
//! registries, and images that carry their cache.
//!
//! ```text
//! manifest                 its configuration is our records; its layers are those of the records
//! index.json               of a directory: one manifest, by its tag
//! blobs/sha256/<digest>    of a directory: the manifest and what it names
//! image                    its configuration carries the records; its layers are those of them
//! ```
//!
//! Records are read at once, layers only when something builds on them. A layer is taken in only if
//! packing it again gives its digest: what an untrue cache names otherwise ends the build.

mod directory;
mod registry;
mod take_in;

use std::{collections::HashMap, fmt, sync::Arc};

use gantry_build_proto::CacheSpec;
use gantry_distribution::Repository;
use gantry_image::transfer::TransferError;
use gantry_oci::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use crate::{
    ClientError, base,
    build::Build,
    cache::record::{Layer, Record},
    ops::OpError,
    streams,
};
use take_in::take_in;

/// Media type of the records.
pub(crate) const CONFIG_TYPE: &str = "application/vnd.gantry.cache.config.v1+json";
/// Where an image's configuration carries its cache.
pub(crate) const INLINE_KEY: &str = "gantry.cache.v1";
/// Longest document of a cache.
const DOCUMENT_MAX: usize = 64 << 20;

/// Records as a cache carries them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// The records.
    pub records: Vec<Record>,
}

/// The caches of a build.
#[derive(Default)]
pub(crate) struct Imports {
    by_definition: HashMap<Digest, Arc<Record>>,
    by_content: HashMap<Digest, Arc<Record>>,
    /// Layers that can be fetched, and where their blobs are.
    blobs: HashMap<Digest, (Place, Descriptor)>,
}

/// Where blobs are.
#[derive(Clone)]
enum Place {
    /// In a context of the client's.
    Directory(String),
    /// In a registry.
    Registry(Repository),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(context) => f.write_str(context),
            Self::Registry(repository) => f.write_str(&repository.name().familiar()),
        }
    }
}

/// Why a cache is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// A kind that there is not, or not yet.
    #[error("cache imports of type {0} are not implemented")]
    Kind(String),
    /// An attribute is missing.
    #[error("{0} is required")]
    Attribute(&'static str),
    /// The client's.
    #[error("reading {what}")]
    Client {
        /// What.
        what: String,
        /// Why not.
        #[source]
        source: ClientError,
    },
    /// A document is none.
    #[error("reading {what}")]
    Document {
        /// What.
        what: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A document is larger than any honest one.
    #[error("{0} is too large")]
    TooLarge(String),
    /// A document is not the one that was named.
    #[error("{0} is not what its name says")]
    Digest(String),
    /// It has no such tag.
    #[error("no cache with tag {0}")]
    Tag(String),
    /// The image is not here.
    #[error("{0}")]
    Image(String),
    /// A registry does not give it.
    #[error(transparent)]
    Registry(Box<TransferError>),
    /// The image carries none.
    #[error("{0} carries no cache")]
    NoCache(String),
}

impl From<TransferError> for ImportError {
    fn from(error: TransferError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl Imports {
    /// Reads a cache.
    pub(crate) async fn read(
        &mut self,
        build: &Build,
        spec: &CacheSpec,
    ) -> Result<(), ImportError> {
        match spec.kind.as_str() {
            "local" => self.read_directory(build, spec).await,
            "inline" => self.read_inline(build, spec),
            "registry" | "" => {
                let name = spec.attributes.get("ref").ok_or(ImportError::Attribute("ref"))?;
                // What is here is nearer, and what is in the registry may be newer.
                let here = self.read_inline(build, spec);
                match base::pullable(name) {
                    Some(reference) => {
                        let there = self.read_registry(build, &reference).await;
                        there.or_else(|error| here.map_err(|_| error))
                    }
                    None => here,
                }
            }
            other => Err(ImportError::Kind(other.to_owned())),
        }
    }

    pub(crate) fn by_definition(&self, key: &Digest) -> Option<Arc<Record>> {
        self.by_definition.get(key).cloned()
    }

    pub(crate) fn by_content(&self, key: &Digest) -> Option<Arc<Record>> {
        self.by_content.get(key).cloned()
    }

    /// Whether a layer can be fetched.
    pub(crate) fn has(&self, layer: &Digest) -> bool {
        self.blobs.contains_key(layer)
    }

    fn add(&mut self, carried: Carried) {
        for record in carried.records {
            let record = Arc::new(record);
            for definition in &record.definitions {
                self.by_definition.insert(definition.key.clone(), Arc::clone(&record));
            }
            for key in &record.contents {
                self.by_content.insert(key.clone(), Arc::clone(&record));
            }
        }
    }

    fn read_inline(&mut self, build: &Build, spec: &CacheSpec) -> Result<(), ImportError> {
        let name = spec.attributes.get("ref").ok_or(ImportError::Attribute("ref"))?;
        let found = build.inner.parts.images.resolve_leased(name);
        let (image, lease) = found.map_err(|error| ImportError::Image(error.to_string()))?;
        let carried = inline(name, &image.raw_config)?;
        build.keep_image(image, lease);
        self.add(carried);
        Ok(())
    }

    /// Takes in a layer and keeps it for the build's time.
    pub(crate) async fn fetch(&self, build: &Build, layer: &Digest) -> Result<(), OpError> {
        let (place, descriptor) =
            self.blobs.get(layer).ok_or_else(|| OpError::Layer(layer.clone()))?;
        let taken = take(build, layer, place, descriptor).await;
        taken.map_err(|error| OpError::Imported {
            layer: layer.clone(),
            place: place.to_string(),
            source: Box::new(error),
        })
    }
}

async fn take(
    build: &Build,
    layer: &Digest,
    place: &Place,
    descriptor: &Descriptor,
) -> Result<(), OpError> {
    let content = match place {
        Place::Directory(context) => {
            let path = blob_path(&descriptor.digest);
            build.client.read(context, &path).await.map_err(|source| OpError::Client {
                what: format!("reading {path} of a cache"),
                source,
            })?
        }
        Place::Registry(repository) => registry::stream(repository, descriptor),
    };
    let (snapshots, lease) = (build.inner.parts.snapshots.clone(), Arc::clone(&build.lease));
    let (diff_id, digest) = (layer.clone(), descriptor.digest.clone());
    let work = move || take_in(&snapshots, streams::reader(content), &digest, &diff_id, &lease);
    streams::blocking(work).await?;
    if let Place::Registry(repository) = place {
        // It need not be sent there again.
        let noted = build.inner.parts.transfers.note_blob(repository, layer, descriptor).await;
        if let Err(error) = noted {
            tracing::debug!(error = gantry_fault::chain(&error), "a cache's blob is not noted");
        }
    }
    Ok(())
}

/// The cache in an image's configuration.
fn inline(name: &str, raw_config: &[u8]) -> Result<Carried, ImportError> {
    let document: serde_json::Value = parse(name, raw_config)?;
    let carried = document.get(INLINE_KEY).cloned();
    let carried = carried.ok_or_else(|| ImportError::NoCache(name.to_owned()))?;
    serde_json::from_value(carried)
        .map_err(|source| ImportError::Document { what: name.to_owned(), source })
}

/// The annotation that names a layer's uncompressed digest.
pub(crate) const DIFF_ID: &str = "gantry.diff-id";

/// The path of a blob in a cache's directory.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn parse<T: for<'de> Deserialize<'de>>(what: &str, data: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(data)
        .map_err(|source| ImportError::Document { what: what.to_owned(), source })
}

/// The layers that a definition of a record leads to.
pub(crate) fn layers_of(record: &Record, key: &Digest) -> Option<Vec<Layer>> {
    let definition = record.definitions.iter().find(|definition| definition.key == *key)?;
    Some(definition.layers.clone())
}
