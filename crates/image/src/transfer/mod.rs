//! Images from and to registries: `pull`, `push`, and what a registry tells of one.
//!
//! ```text
//! pull     a name -> document -> platform -> configuration and layers -> a recorded image
//!   found    what a name points at, followed to a manifest
//!   choose   which manifest of an index is for a platform
//!   admit    what the image policy says of it, and the signatures that it asks for
//!   flight   one layer under way, whoever waits for it
//!   sink     a download into `content`, unpacked as it comes
//! push     an image -> blobs -> manifest -> tag
//!   sources  the blob of a layer: as it came, or compressed while it is sent
//!   layers   layers without an image
//! artifact what a name stands for that need not be an image
//! built_in images that are made here when they are pulled
//! places   which repositories have which blobs
//! ```
//!
//! A layer that came is unpacked, visible and recorded before its image is whole, so that a pull
//! that ends early costs its next try nothing; what of a blob came is kept too. A pull or a push
//! ends when its future is dropped.

mod admit;
mod artifact;
mod built_in;
mod choose;
mod describe;
mod error;
mod event;
mod flight;
mod found;
mod places;
mod pull;
mod push;
mod sink;
mod sources;

use std::sync::Arc;

use gantry_archive::Compression;
use gantry_distribution::Client;
use gantry_oci::{Digest, Reference};
use tokio::sync::Semaphore;

use crate::{ImageError, Images};

pub use artifact::Artifact;
pub use describe::Described;
pub use error::TransferError;
pub use event::{Events, Step, TransferEvent};
pub use pull::{Pull, Pulled};
pub use push::{Push, Pushed};

/// How much is done at a time, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Layers that are downloaded at a time, for all pulls together.
    pub downloads: usize,
    /// Layers that are uploaded at a time, for all pushes together.
    pub uploads: usize,
    /// What layers are compressed with that have no compressed blob.
    pub compression: PushCompression,
}

/// What a push compresses layers with that it makes blobs of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushCompression {
    /// gzip, which every client reads.
    #[default]
    Gzip,
    /// zstd: smaller and faster to read, by clients that know OCI's types.
    Zstd,
}

impl PushCompression {
    fn archive(self) -> Compression {
        match self {
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self { downloads: 3, uploads: 5, compression: PushCompression::Gzip }
    }
}

/// Moves images between here and registries; clones share everything.
#[derive(Clone)]
pub struct Transfers(Arc<Inner>);

struct Inner {
    images: Images,
    client: Client,
    downloads: Semaphore,
    uploads: Semaphore,
    compression: Compression,
    flights: flight::Flights,
    built_in: Vec<BuiltIn>,
}

/// An image that is made here when it is pulled: its name, and what makes it.
type BuiltIn = (&'static str, fn(&Images, &Reference) -> Result<Digest, ImageError>);

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Transfers").field(&self.0.images).finish()
    }
}

impl Transfers {
    /// Transfers over a client, into and out of `images`.
    #[must_use]
    pub fn new(images: Images, client: Client, limits: TransferLimits) -> Self {
        Self(Arc::new(Inner {
            images,
            client,
            downloads: Semaphore::new(limits.downloads.max(1)),
            uploads: Semaphore::new(limits.uploads.max(1)),
            compression: limits.compression.archive(),
            flights: flight::Flights::default(),
            built_in: Vec::new(),
        }))
    }

    /// With an image that needs no registry: who pulls this name gets what `make` makes.
    ///
    /// # Panics
    /// When there are clones already.
    #[must_use]
    pub fn with_built_in(
        mut self,
        name: &'static str,
        make: fn(&Images, &Reference) -> Result<Digest, ImageError>,
    ) -> Self {
        let inner = Arc::get_mut(&mut self.0).expect("nobody else has it yet");
        inner.built_in.push((name, make));
        self
    }

    /// The client of registries.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.0.images
    }
}

/// Work that blocks, off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TransferError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| TransferError::Interrupted)
}
