//! gzip, compressed in blocks on several threads.
//!
//! Each block is a member of its own, which every reader of gzip takes for one stream. What comes
//! out depends on what went in alone, not on the number of threads.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

use libdeflater::{CompressionLvl, Compressor};

/// Bytes of a block: what is lost at its borders is far below a hundredth.
const BLOCK: usize = 1 << 20;
/// The lowest level that compresses: a push waits for it, and level 6 makes less by a twentieth.
/// (What the library calls the fastest level stores.)
const LEVEL: i32 = 1;
/// Most threads.
const THREADS_MAX: usize = 8;
/// Blocks for each thread that wait or are done.
const AHEAD: usize = 2;

/// Compresses what is written to it into another writer.
pub(crate) struct Blocks<W> {
    out: W,
    block: Vec<u8>,
    workers: Vec<Worker>,
    /// Which worker has which block, oldest first.
    under_way: VecDeque<usize>,
    next: usize,
    wrote: bool,
}

struct Worker {
    /// None once no more blocks come.
    blocks: Option<SyncSender<Vec<u8>>>,
    done: Receiver<io::Result<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl<W: Write> Blocks<W> {
    /// Compresses into `out`.
    pub(crate) fn new(out: W) -> Self {
        let block = Vec::with_capacity(BLOCK);
        let (workers, under_way) = (Vec::new(), VecDeque::new());
        Self { out, block, workers, under_way, next: 0, wrote: false }
    }

    /// Writes what is left; answers the writer below.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        // An empty stream is a member too.
        if !self.block.is_empty() || !self.wrote {
            self.send()?;
        }
        while !self.under_way.is_empty() {
            self.take()?;
        }
        Ok(self.out)
    }

    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.wrote = true;
        if self.workers.is_empty() {
            self.start()?;
        }
        if self.under_way.len() >= self.workers.len() * AHEAD {
            self.take()?;
        }
        let at = self.next % self.workers.len();
        self.next += 1;
        let sent = self.workers[at].blocks.as_ref().map(|blocks| blocks.send(block));
        if !matches!(sent, Some(Ok(()))) {
            return Err(io::Error::other("a thread that compresses has ended"));
        }
        self.under_way.push_back(at);
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    fn take(&mut self) -> io::Result<()> {
        let Some(at) = self.under_way.pop_front() else { return Ok(()) };
        let ended = |_| io::Error::other("a thread that compresses has ended");
        let packed = self.workers[at].done.recv().map_err(ended)??;
        self.out.write_all(&packed)
    }

    fn start(&mut self) -> io::Result<()> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        for _ in 0..count {
            let (blocks, inbox) = sync_channel::<Vec<u8>>(AHEAD);
            let (outbox, done) = sync_channel(AHEAD);
            let thread = Builder::new().name("gzip".into()).spawn(move || {
                let mut compressor =
                    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default());
                while let Ok(block) = inbox.recv() {
                    if outbox.send(member(&block, &mut compressor)).is_err() {
                        return;
                    }
                }
            })?;
            self.workers.push(Worker { blocks: Some(blocks), done, thread: Some(thread) });
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.blocks.take());
        // It may wait to hand over what nobody takes any more.
        while self.done.recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&data[..taken]);
        if self.block.len() == BLOCK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn member(block: &[u8], compressor: &mut Compressor) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; compressor.gzip_compress_bound(block.len())];
    let length = compressor.gzip_compress(block, &mut packed).map_err(io::Error::other)?;
    packed.truncate(length);
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn text(bytes: usize) -> Vec<u8> {
        (0_u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(bytes).collect()
    }

    #[test]
    fn all_sizes_come_back() {
        for bytes in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 17] {
            let data = text(bytes);
            let mut packed = Blocks::new(Vec::new());
            for piece in data.chunks(100_001) {
                packed.write_all(piece).unwrap();
            }
            let packed = packed.finish().unwrap();
            let mut whole = Vec::new();
            flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut whole).unwrap();
            assert_eq!(whole, data, "{bytes}");
            let mut at_once = Blocks::new(Vec::new());
            at_once.write_all(&data).unwrap();
            assert_eq!(
                at_once.finish().unwrap(),
                packed,
                "{bytes}: the same however it is written"
            );
        }
    }

    #[test]
    fn less_comes_out_than_went_in() {
        let data: Vec<u8> = (0..BLOCK * 2).map(|at| b"gzip"[at % 4]).collect();
        let mut packed = Blocks::new(Vec::new());
        packed.write_all(&data).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < data.len() / 20, "{} of {}", packed.len(), data.len());
    }

    #[test]
    fn a_writer_that_fails_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut packed = Blocks::new(Full);
        let error = (0..100).find_map(|_| packed.write_all(&text(BLOCK)).err());
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }
}
