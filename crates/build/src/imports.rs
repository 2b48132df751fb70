//! Caches that a build takes results from besides the daemon's own: directories of the client's, and
//! images that carry their cache.
//!
//! ```text
//! index.json               one manifest, by its tag
//! blobs/sha256/<digest>    the manifest; its configuration, which is our records; the layers
//! ```
//!
//! Records are read at once, layers only when something builds on them. A layer is taken in only if
//! packing it again gives its digest: what an untrue cache names otherwise is a miss.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    os::fd::AsFd,
    sync::{Arc, PoisonError},
};

use gantry_archive::{ExtractOptions, decompress, extract, pack_upper};
use gantry_build_proto::CacheSpec;
use gantry_oci::{Descriptor, Digest, Hasher, Index, Manifest};
use serde::{Deserialize, Serialize};

use crate::{
    ClientError,
    build::Build,
    cache::record::{Layer, Record},
    ops::{OpError, layer::SharedLease},
    streams,
};

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
    /// Layers that can be fetched, with the context that has them.
    blobs: HashMap<Digest, (String, Descriptor)>,
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
    /// The image carries none.
    #[error("{0} carries no cache")]
    NoCache(String),
}

impl Imports {
    /// Reads a cache.
    pub(crate) async fn read(
        &mut self,
        build: &Build,
        spec: &CacheSpec,
    ) -> Result<(), ImportError> {
        match spec.kind.as_str() {
            "local" => self.read_local(build, spec).await,
            // Until there is a client for registries, images that are here are what they have.
            "registry" | "inline" | "" => self.read_inline(build, spec),
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
        let document: serde_json::Value = serde_json::from_slice(&image.raw_config)
            .map_err(|source| ImportError::Document { what: name.clone(), source })?;
        let carried = document.get(INLINE_KEY).cloned();
        let carried = carried.ok_or_else(|| ImportError::NoCache(name.clone()))?;
        let carried = serde_json::from_value(carried)
            .map_err(|source| ImportError::Document { what: name.clone(), source })?;
        build.keep_image(image, lease);
        self.add(carried);
        Ok(())
    }

    async fn read_local(&mut self, build: &Build, spec: &CacheSpec) -> Result<(), ImportError> {
        let context = spec.attributes.get("context").ok_or(ImportError::Attribute("context"))?;
        let index: Index = parse("index.json", &read(build, context, "index.json").await?)?;
        let tag = spec.attributes.get("tag").map_or("latest", String::as_str);
        let wanted = spec.attributes.get("digest");
        let descriptor = index.manifests.iter().find(|descriptor| match wanted {
            Some(digest) => descriptor.digest.as_str() == digest,
            None => {
                let name = descriptor.annotations.get("org.opencontainers.image.ref.name");
                name.map_or("latest", String::as_str) == tag
            }
        });
        let descriptor = descriptor.ok_or_else(|| ImportError::Tag(tag.to_owned()))?;
        let manifest: Manifest =
            parse("manifest", &read_blob(build, context, &descriptor.digest).await?)?;
        if manifest.config.media_type != CONFIG_TYPE {
            return Err(ImportError::NoCache(manifest.config.media_type));
        }
        let records = read_blob(build, context, &manifest.config.digest).await?;
        self.add(parse("records", &records)?);
        for layer in manifest.layers {
            // A layer's own digest stands in an annotation, since its blob is compressed.
            let diff_id = layer.annotations.get(DIFF_ID).and_then(|text| text.parse().ok());
            if let Some(diff_id) = diff_id {
                self.blobs.insert(diff_id, (context.clone(), layer));
            }
        }
        Ok(())
    }

    /// Takes in a layer and keeps it for the build's time.
    pub(crate) async fn fetch(&self, build: &Build, layer: &Digest) -> Result<(), OpError> {
        let (context, descriptor) =
            self.blobs.get(layer).ok_or_else(|| OpError::Layer(layer.clone()))?;
        let path = blob_path(&descriptor.digest);
        let content = build.client.read(context, &path).await;
        let content = content.map_err(|source| OpError::Client {
            what: format!("reading {path} of a cache"),
            source,
        })?;
        let (snapshots, lease) = (build.inner.parts.snapshots.clone(), Arc::clone(&build.lease));
        let (diff_id, digest) = (layer.clone(), descriptor.digest.clone());
        let work = move || take_in(&snapshots, streams::reader(content), &digest, &diff_id, &lease);
        streams::blocking(work).await
    }
}

/// The annotation that names a layer's uncompressed digest.
pub(crate) const DIFF_ID: &str = "gantry.diff-id";

fn take_in(
    snapshots: &gantry_snapshot::Snapshots,
    blob: Box<dyn Read + Send>,
    digest: &Digest,
    diff_id: &Digest,
    lease: &SharedLease,
) -> Result<(), OpError> {
    let writer = snapshots.begin_layer()?;
    let hashed = Hashed {
        inner: blob,
        hasher: Arc::new(std::sync::Mutex::new(Hasher::new(digest.algorithm()))),
    };
    let seen = Arc::clone(&hashed.hasher);
    let (mut tar, _) = decompress(Box::new(hashed))?;
    let done = extract(&mut tar, writer.dir(), &ExtractOptions::layer())?;
    drop(tar);
    let hasher = std::mem::replace(
        &mut *seen.lock().unwrap_or_else(PoisonError::into_inner),
        Hasher::sha256(),
    );
    let mut again = Hasher::new(diff_id.algorithm());
    pack_upper(writer.dir().as_fd(), &mut Hashing(&mut again))?;
    if hasher.finish() != *digest || again.finish() != *diff_id {
        return Err(OpError::Layer(diff_id.clone()));
    }
    let mut lease = lease.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(lease.commit(writer, diff_id, done.size_bytes)?)
}

/// Hashes what is read, on whichever thread that is.
struct Hashed {
    inner: Box<dyn Read + Send>,
    hasher: Arc<std::sync::Mutex<Hasher>>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..read]);
        Ok(read)
    }
}

struct Hashing<'a>(&'a mut Hasher);

impl Write for Hashing<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The path of a blob in a cache's directory.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

async fn read_blob(build: &Build, context: &str, digest: &Digest) -> Result<Vec<u8>, ImportError> {
    let path = blob_path(digest);
    let data = read(build, context, &path).await?;
    digest.verify(&data).map_err(|_| ImportError::Digest(path))?;
    Ok(data)
}

async fn read(build: &Build, context: &str, path: &str) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Client { what: path.to_owned(), source };
    let content = build.client.read(context, path).await.map_err(failed)?;
    let data = streams::read_all(content, DOCUMENT_MAX).await.map_err(failed)?;
    data.ok_or_else(|| ImportError::TooLarge(path.to_owned()))
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
