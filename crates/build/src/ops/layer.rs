//! Layers that operations make: hashed as the tar that they would be, and made visible by rename.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

use gantry_image::LayerLease;
use gantry_oci::{Digest, Hasher};
use gantry_snapshot::LayerWriter;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::OpError;
use crate::cache::record::Layer;

/// A lease that work on other threads adds to.
pub(crate) type SharedLease = Arc<Mutex<LayerLease>>;

/// A layer that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeLayer {
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Bytes of its tar.
    pub tar_bytes: u64,
}

impl MadeLayer {
    /// The layer as a result has it, made now.
    pub(crate) fn layer(self, made_by: Option<Digest>) -> Layer {
        Layer {
            diff_id: self.diff_id,
            size_bytes: self.size_bytes,
            tar_bytes: self.tar_bytes,
            made_by,
            created_ms: Timestamp::now().as_millisecond(),
        }
    }
}

/// Makes a layer visible and keeps it for the lease's time. None if there is nothing in it. Blocks.
pub(crate) fn publish(
    writer: LayerWriter,
    lease: &SharedLease,
    stop: &CancellationToken,
) -> Result<Option<MadeLayer>, OpError> {
    let mut tar = Hashed { hasher: Hasher::sha256(), bytes: 0, stop };
    let packed = match gantry_archive::pack_upper(writer.dir().as_fd(), &mut tar) {
        Err(_) if stop.is_cancelled() => return Err(OpError::Cancelled),
        packed => packed?,
    };
    if packed.entries == 0 {
        return Ok(None);
    }
    let made = MadeLayer {
        diff_id: tar.hasher.finish(),
        size_bytes: packed.size_bytes,
        tar_bytes: tar.bytes,
    };
    let mut lease = lease.lock().unwrap_or_else(PoisonError::into_inner);
    lease.commit(writer, &made.diff_id, made.size_bytes)?;
    Ok(Some(made))
}

/// Takes a tar for its hash alone.
struct Hashed<'a> {
    hasher: Hasher,
    bytes: u64,
    stop: &'a CancellationToken,
}

impl Write for Hashed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::ErrorKind::Other.into());
        }
        self.hasher.update(data);
        self.bytes += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
