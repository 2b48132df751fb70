//! Frames of a connection: `length: u32 BE` (of what follows), `kind: u8`, `stream: u32 BE`, body.

use thiserror::Error;

/// Longest frame; whoever has more to say sends several of kind [`Kind::Data`].
pub const MAX_FRAME_BYTES: usize = 16 << 20;
/// Bytes before the body.
const HEAD_BYTES: usize = 9;

/// What a frame's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A message in JSON.
    Message = 1,
    /// Raw bytes of the stream with this number.
    Data = 2,
    /// The stream with this number ends; the body is empty, or the error that ended it.
    End = 3,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The stream, or the ask that a message answers; 0 when neither.
    pub stream: u32,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Why bytes are no frame.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// It is longer than [`MAX_FRAME_BYTES`], or shorter than its head.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// There is no such kind.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
}

/// The bytes of a frame.
#[must_use]
pub fn encode(frame: &Frame) -> Vec<u8> {
    let length = u32::try_from(frame.body.len() + HEAD_BYTES - 4).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + frame.body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(frame.kind as u8);
    bytes.extend_from_slice(&frame.stream.to_be_bytes());
    bytes.extend_from_slice(&frame.body);
    bytes
}

/// The first frame of some bytes and how long it is; none while more bytes are needed.
///
/// # Errors
/// When the bytes cannot begin a frame.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if !(HEAD_BYTES - 4..=MAX_FRAME_BYTES).contains(&length) {
        return Err(FrameError::Length(length));
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let (kind, rest) = rest.split_first().ok_or(FrameError::Length(length))?;
    let kind = match kind {
        1 => Kind::Message,
        2 => Kind::Data,
        3 => Kind::End,
        other => return Err(FrameError::Kind(*other)),
    };
    let (stream, body) = rest.split_first_chunk::<4>().ok_or(FrameError::Length(length))?;
    let stream = u32::from_be_bytes(*stream);
    Ok(Some((Frame { kind, stream, body: body.to_vec() }, length + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        for frame in [
            Frame { kind: Kind::Message, stream: 0, body: b"{}".to_vec() },
            Frame { kind: Kind::Data, stream: 7, body: vec![1; 3000] },
            Frame { kind: Kind::End, stream: u32::MAX, body: Vec::new() },
        ] {
            let bytes = encode(&frame);
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{cut} bytes");
            }
            assert_eq!(decode(&bytes), Ok(Some((frame, bytes.len()))));
        }
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), Err(FrameError::Length(0xffff_ffff)));
        assert_eq!(decode(&[0, 0, 0, 1, 1]), Err(FrameError::Length(1)));
        assert_eq!(decode(&[0, 0, 0, 5, 9, 0, 0, 0, 0]), Err(FrameError::Kind(9)));
    }
}
