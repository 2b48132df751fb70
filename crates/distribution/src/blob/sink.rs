//! Where a blob goes.

use std::io::{self, Write};

use gantry_oci::{Algorithm, Digest, Hasher};

/// Takes the bytes of a blob, in their order, on a thread that may block.
///
/// When a download fails or is given up, the sink is dropped as it is: one that keeps what it has
/// takes the next download up from there.
pub trait Sink: Send + 'static {
    /// How many bytes are here already; the download begins behind them.
    fn offset(&self) -> u64;

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they cannot be kept; the download ends with that.
    fn write(&mut self, data: &[u8]) -> io::Result<()>;

    /// Throws everything away: it was not the blob.
    ///
    /// # Errors
    /// When that is not possible; the download ends with what was wrong.
    fn restart(&mut self) -> io::Result<()>;

    /// The digest of everything; asked once, at the end, so that nothing is hashed twice.
    ///
    /// # Errors
    /// When what is here cannot be read.
    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest>;
}

/// A sink in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(pub Vec<u8>);

impl Sink for Memory {
    fn offset(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.write_all(data)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.0.clear();
        Ok(())
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&self.0);
        Ok(hasher.finish())
    }
}
