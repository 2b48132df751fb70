//! Bytes by digest, and uploads of them.
//!
//! What is above this trait knows no files, so that another kind of storage is one more
//! implementation. An implementation is a place for bytes and no more: which repository has which
//! blob is the index's knowledge.

mod directory;
mod writer;

use std::{fmt, fs::File, io};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use gantry_fault::{Fault, Kind};
use gantry_oci::{Algorithm, Digest};

pub(crate) use directory::Directory;
pub(crate) use writer::Writer;

/// An answer of the storage, later.
pub(crate) type Later<'a, T> = BoxFuture<'a, Result<T, BlobError>>;

/// A place for blobs.
pub(crate) trait Blobs: fmt::Debug + Send + Sync {
    /// Begins an upload under an id that is new; `algorithm` is the digest's, as far as is known.
    fn begin<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>>;

    /// Takes up an upload where it was when this process, or one before it, left it.
    fn resume<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>>;

    /// Throws away what there is of an upload; one that is not there is no error.
    fn discard<'a>(&'a self, id: &'a str) -> Later<'a, ()>;

    /// The bytes of a blob from `offset_bytes` on, `length_bytes` of them.
    fn read<'a>(
        &'a self,
        digest: &'a Digest,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Later<'a, Source>;

    /// A URL at which whoever has it gets a blob for a while; none where this server sends it.
    fn address<'a>(&'a self, digest: &'a Digest) -> Later<'a, Option<String>>;

    /// The bytes of an upload as a file that grows; none where the storage has no such thing.
    fn tail(&self, id: &str) -> Option<File>;

    /// Removes a blob; one that is not there is no error.
    fn remove<'a>(&'a self, digest: &'a Digest) -> Later<'a, ()>;

    /// All blobs, with their size in bytes.
    fn list(&self) -> Later<'_, Vec<(Digest, u64)>>;

    /// Ids of all uploads that have left bytes.
    fn uploads(&self) -> Later<'_, Vec<String>>;

    /// Whether bytes can be written and read now.
    fn check(&self) -> Later<'_, ()>;
}

/// A blob on its way in.
pub(crate) trait Upload: Send {
    /// How many bytes have come.
    fn size_bytes(&self) -> u64;

    /// Takes in the next bytes.
    fn write(&mut self, pieces: Vec<Bytes>) -> Later<'_, ()>;

    /// The digest of what has come, by the algorithm that the upload began with.
    fn digest(&mut self) -> Result<Digest, BlobError>;

    /// Checks the digest, and does of a commit what takes long and nobody sees.
    ///
    /// The upload is gone when the digest is wrong; it stays when the storage fails.
    fn prepare<'a>(&'a mut self, digest: &'a Digest) -> Later<'a, ()>;

    /// Checks the digest and makes the blob permanent: when this answers, it survives a power cut.
    ///
    /// The upload is gone afterwards, also when the digest is wrong; it stays when a storage that is
    /// elsewhere fails ([`BlobError::is_passing`]).
    fn commit<'a>(&'a mut self, digest: &'a Digest) -> Later<'a, ()>;
}

/// Where the bytes of a blob come from.
pub(crate) enum Source {
    /// A part of a file, which the kernel can send by itself.
    File(FileRange),
    /// Pieces, as they come from elsewhere.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct FileRange {
    pub(crate) file: File,
    pub(crate) offset_bytes: u64,
    pub(crate) length_bytes: u64,
}

/// What can go wrong with blobs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// A blob, or an upload, that is not there.
    #[error("{0} is not stored")]
    Missing(String),
    /// Data that does not hash to what was promised.
    #[error("data has digest {actual}, expected {expected}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The bucket does not do what it should.
    #[error("{step} {what} in the bucket")]
    Bucket {
        /// What was being done.
        step: &'static str,
        /// To what.
        what: String,
        /// The cause.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The bucket does not answer.
    #[error("bucket {0} does not answer")]
    Silent(String),
    /// The storage failed.
    #[error("{step} {what}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// Whether it may be over in a while: the storage is elsewhere.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Bucket { .. } | Self::Silent(_))
    }

    /// Whether there is no space left.
    pub(crate) fn is_full(&self) -> bool {
        let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if full(source.kind()))
    }
}

impl Fault for BlobError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::Mismatch { .. } => Kind::InvalidArgument,
            Self::Bucket { .. } | Self::Silent(_) => Kind::Unavailable,
            Self::Io { .. } if self.is_full() => Kind::Unavailable,
            Self::Io { .. } => Kind::Internal,
        }
    }
}
