//! Writing to the standard streams.

use std::io::{self, Write as _};

/// Writes to standard output at once.
pub(crate) fn out(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref())?;
    stdout.flush()
}

/// Writes to standard error; there is nowhere to report a failure to.
pub(crate) fn err(text: impl AsRef<[u8]>) {
    let _ = io::stderr().lock().write_all(text.as_ref());
}
