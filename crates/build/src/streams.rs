//! Between what waits for the network and what waits for the disk.

use std::io::{self, Read, Write};

use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{Bytes, ClientError, Output};

/// Runs work that blocks on a thread of its own; a panic in it goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and with it whoever waits.
        Err(_) => std::future::pending().await,
    }
}

/// Content that comes in pieces, for those that block.
pub(crate) fn reader(content: Bytes) -> Box<dyn Read + Send> {
    let pieces = content.map_ok(bytes::Bytes::from).map_err(|error| match error {
        ClientError::NotFound(_) => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    });
    Box::new(SyncIoBridge::new(StreamReader::new(pieces)))
}

/// Reads all of a content of at most `most` bytes; none if there are more.
pub(crate) async fn read_all(
    mut content: Bytes,
    most: usize,
) -> Result<Option<Vec<u8>>, ClientError> {
    let mut all = Vec::new();
    while let Some(piece) = content.try_next().await? {
        all.extend_from_slice(&piece);
        if all.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

/// Lets work that blocks write to an output, and completes it when the work went well.
pub(crate) async fn write<E: From<io::Error> + Send + 'static>(
    output: Output,
    work: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) -> Result<(), E> {
    let bridge = SyncIoBridge::new(output);
    let (output, done) = blocking(move || {
        let mut buffered = io::BufWriter::with_capacity(256 << 10, bridge);
        let done = work(&mut buffered).and_then(|()| Ok(buffered.flush()?));
        let (bridge, _) = buffered.into_parts();
        (bridge.into_inner(), done)
    })
    .await;
    done?;
    let mut output = output;
    Ok(output.shutdown().await?)
}
