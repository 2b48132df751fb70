//! Making a layer of a blob that a cache has.

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
    sync::{Arc, PoisonError},
};

use gantry_archive::{ExtractOptions, decompress, extract, pack_upper};
use gantry_oci::{Digest, Hasher};

use crate::ops::{OpError, layer::SharedLease};

/// Unpacks a blob, and keeps the layer if blob and layer are what they are said to be. Blocks.
pub(super) fn take_in(
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
        return Err(OpError::NotTheLayer);
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
