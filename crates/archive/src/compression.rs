//! Compressions, told apart by their first bytes.

use std::{
    io::{self, BufReader, Cursor, Read, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::{ArchiveError, gzip::Blocks};

/// Size of the pieces that go from the decompressor's thread to the reader.
const PIECE: usize = 256 << 10;
/// Pieces under way at most.
const PIECES: usize = 4;
/// Most memory that an xz stream may ask for; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// Tells by the first bytes of a stream; six are enough.
    #[must_use]
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// Opens a stream of any compression; decompression runs on a thread of its own.
///
/// # Errors
/// When the first bytes cannot be read or the decompressor cannot be started.
pub fn decompress(
    mut input: Box<dyn Read + Send>,
) -> Result<(Box<dyn Read + Send>, Compression), ArchiveError> {
    let mut head = Vec::with_capacity(6);
    input.by_ref().take(6).read_to_end(&mut head).map_err(ArchiveError::Read)?;
    let compression = Compression::detect(&head);
    let whole = Cursor::new(head).chain(input);
    if compression == Compression::None {
        return Ok((Box::new(whole), compression));
    }
    let decoder = decoder(compression, BufReader::with_capacity(PIECE, whole))
        .map_err(ArchiveError::Compression)?;
    let (sender, pieces) = sync_channel(PIECES);
    std::thread::Builder::new()
        .name("decompress".into())
        .spawn(move || pump(decoder, &sender))
        .map_err(ArchiveError::Compression)?;
    Ok((Box::new(Pieces { pieces, current: Cursor::default(), ended: false }), compression))
}

/// Compresses what `work` writes into `out`.
///
/// # Errors
/// Those of `work`, or when `out` cannot be written.
pub fn compress(
    compression: Compression,
    out: &mut dyn Write,
    work: &mut dyn FnMut(&mut dyn Write) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    // Levels but gzip's are what the programs of these names take when they are not told another.
    match compression {
        Compression::None => work(out),
        Compression::Gzip => {
            let mut out = Blocks::new(out);
            work(&mut out)?;
            out.finish().map(drop).map_err(ArchiveError::Write)
        }
        Compression::Zstd => {
            let mut out = zstd::Encoder::new(out, 3).map_err(ArchiveError::Write)?;
            work(&mut out)?;
            out.finish().map(drop).map_err(ArchiveError::Write)
        }
        Compression::Xz => {
            let mut out = liblzma::write::XzEncoder::new(out, 6);
            work(&mut out)?;
            out.finish().map(drop).map_err(ArchiveError::Write)
        }
        Compression::Bzip2 => {
            let mut out = bzip2::write::BzEncoder::new(out, bzip2::Compression::best());
            work(&mut out)?;
            out.finish().map(drop).map_err(ArchiveError::Write)
        }
    }
}

fn decoder(
    compression: Compression,
    input: impl io::BufRead + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
        Compression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)
                .map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
    })
}

/// Runs on the decompressor's thread; ends when the stream or the reader does.
fn pump(mut decoder: Box<dyn Read + Send>, pieces: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let result = decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        if !piece.is_empty() && pieces.send(Ok(piece)).is_err() {
            return;
        }
        match result {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                drop(pieces.send(Err(error)));
                return;
            }
        }
    }
}

struct Pieces {
    pieces: Receiver<io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.ended {
                return Ok(read);
            }
            match self.pieces.recv() {
                Ok(Ok(piece)) => self.current = Cursor::new(piece),
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => self.ended = true,
            }
        }
    }
}
