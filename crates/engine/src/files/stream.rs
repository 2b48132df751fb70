//! Between blocking readers and writers and streams of bytes.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::ByteStream;

/// Bytes that are gathered before they are sent on.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for a slow reader; then the writer waits.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Runs `write` on a blocking thread; what it writes comes out of the stream, its error last.
///
/// When nobody reads any more, writes fail with `BrokenPipe` and the work ends.
pub(crate) fn written_by(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        let mut out = ChunkWriter { sender, chunk: BytesMut::new() };
        let done = write(&mut out).and_then(|()| out.flush());
        if let Err(error) = done {
            let _ = out.sender.blocking_send(Err(error));
        }
    });
    Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}

struct ChunkWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    chunk: BytesMut,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = self.chunk.split().freeze();
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads a stream from a blocking thread.
pub(crate) struct StreamReader {
    stream: ByteStream,
    rest: Bytes,
    runtime: Handle,
}

impl StreamReader {
    /// A reader of `stream`; made inside the runtime, used on a blocking thread.
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self { stream, rest: Bytes::new(), runtime: Handle::current() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(chunk) => self.rest = chunk?,
            }
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_can_be_read_again() {
        let stream = written_by(|out| {
            for number in 0..100_000u32 {
                out.write_all(&number.to_le_bytes())?;
            }
            Ok(())
        });
        let mut reader = StreamReader::new(stream);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = read.await.unwrap().unwrap();
        assert_eq!(bytes.len(), 400_000);
        assert_eq!(bytes[399_996..], 99_999u32.to_le_bytes());
    }

    #[tokio::test]
    async fn an_error_comes_last() {
        let mut stream = written_by(|out| {
            out.write_all(b"begun")?;
            out.flush()?;
            Err(io::Error::other("broken"))
        });
        assert_eq!(stream.next().await.unwrap().unwrap(), "begun");
        assert_eq!(stream.next().await.unwrap().unwrap_err().to_string(), "broken");
        assert!(stream.next().await.is_none());
    }
}
