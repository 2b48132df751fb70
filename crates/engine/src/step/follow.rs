//! A step's streams: what it is given, and what it prints, to whoever reads.

use std::io;

use gantry_task::AttachStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{StepOutput, StepStream};

/// Bytes read ahead.
const AHEAD_BYTES: usize = 64 << 10;
/// Most bytes that are handed on at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Before each chunk: the stream's number, three zeros, the length.
const HEAD_BYTES: usize = 8;

/// Gives the step its input, and its output to `output`, until that ends.
pub(super) async fn streams(
    stream: AttachStream,
    stdin: Option<Vec<u8>>,
    output: StepOutput,
) -> io::Result<()> {
    let (from, mut to) = stream.into_inner().into_split();
    let feed = async {
        if let Some(bytes) = stdin {
            // A process that does not read all of it, or ends before, is no error of ours.
            let _ = to.write_all(&bytes).await;
            let _ = to.shutdown().await;
        }
    };
    let ((), read) = tokio::join!(feed, read(from, output));
    read
}

async fn read(from: impl AsyncRead + Unpin, output: StepOutput) -> io::Result<()> {
    let mut from = BufReader::with_capacity(AHEAD_BYTES, from);
    let mut head = [0; HEAD_BYTES];
    loop {
        match from.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let stream = if head[0] == 2 { StepStream::Stderr } else { StepStream::Stdout };
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        while left > 0 {
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            from.read_exact(&mut chunk).await?;
            left -= chunk.len();
            // A reader that is gone does not stop the step.
            let _ = output.send((stream, chunk)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn frames_become_chunks_and_a_gone_reader_holds_nothing_up() {
        let mut bytes = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01c".to_vec();
        let long = u32::try_from(CHUNK_BYTES + 1).unwrap().to_be_bytes();
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&long);
        bytes.extend(vec![7; CHUNK_BYTES + 1]);
        let (sender, mut receiver) = mpsc::channel(8);
        read(bytes.as_slice(), sender).await.unwrap();
        let mut got = Vec::new();
        while let Some((stream, chunk)) = receiver.recv().await {
            got.push((stream, chunk.len()));
        }
        let (out, err) = (StepStream::Stdout, StepStream::Stderr);
        assert_eq!(got, [(out, 2), (err, 1), (out, CHUNK_BYTES), (out, 1)]);
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        read(bytes.as_slice(), sender).await.unwrap();
    }
}
