//! Files as bodies: sent by the kernel on plain TCP, in pieces elsewhere.

use std::{
    fmt::Write as _,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::Frame,
    header::{CONNECTION, DATE},
};
use tokio::io::{AsyncWriteExt, Interest};

use super::{io::Io, reply::Body};
use crate::blobs::FileRange;

/// How much the kernel is told to send at once, in bytes.
const SEND_BYTES: usize = 1 << 20;
/// How long a client may take nothing of what is sent to it.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How much of a file is held in memory where the kernel cannot send it, in bytes.
const PIECE_BYTES: u64 = 256 << 10;

/// An answer that goes around hyper.
pub(super) struct SendFile {
    pub(super) head: hyper::Response<()>,
    pub(super) range: FileRange,
    /// The connection ends behind it.
    pub(super) closes: bool,
}

/// Writes head and file.
///
/// # Errors
/// When the client is gone, takes nothing for too long, or the file is shorter than it was.
pub(super) async fn send(io: &mut Io, file: &SendFile) -> io::Result<()> {
    let Io::Plain(stream) = io else { return Err(io::ErrorKind::Unsupported.into()) };
    stream.write_all(head_text(file).as_bytes()).await?;
    let (mut offset, mut left) = (file.range.offset_bytes, file.range.length_bytes);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(SEND_BYTES).min(SEND_BYTES);
        let send = stream.async_io(Interest::WRITABLE, || {
            let sent = rustix::fs::sendfile(
                stream.as_fd(),
                file.range.file.as_fd(),
                Some(&mut offset),
                most,
            );
            Ok(sent?)
        });
        let sent = tokio::time::timeout(SILENCE_MAX, send).await??;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short"));
        }
        left -= sent as u64;
    }
    Ok(())
}

fn head_text(file: &SendFile) -> String {
    let mut text = format!("HTTP/1.1 {}\r\n", file.head.status());
    for (name, value) in file.head.headers() {
        // Values are ours: names, digests and numbers.
        let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let _ = write!(text, "{DATE}: {}\r\n", httpdate::fmt_http_date(SystemTime::now()));
    if file.closes {
        let _ = write!(text, "{CONNECTION}: close\r\n");
    }
    text.push_str("\r\n");
    text
}

/// A file as the body of an answer that hyper writes.
pub(super) fn body(range: FileRange) -> Body {
    let pieces = stream::try_unfold(range, |range| async move {
        let most = range.length_bytes.min(PIECE_BYTES);
        if most == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read_piece(range, most)).await;
        let (piece, rest) = read.map_err(io::Error::other)??;
        Ok::<_, io::Error>(Some((Frame::data(piece), rest)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn read_piece(mut range: FileRange, length: u64) -> io::Result<(Bytes, FileRange)> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    range.file.read_exact_at(&mut piece, range.offset_bytes)?;
    range.offset_bytes += length;
    range.length_bytes -= length;
    Ok((piece.into(), range))
}
