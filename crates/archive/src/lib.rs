//! Tar streams and their compressions, extracted beneath a directory descriptor.
//!
//! The `tar` crate only parses. Everything that touches the file system is here, and goes through
//! descriptors: a parent directory is resolved by `openat2(2)` with `RESOLVE_IN_ROOT`, so that no
//! name, link or race in an archive or below the root leads outside; the last component is never
//! followed.

#![forbid(unsafe_code)]

mod changes;
mod compression;
mod copy;
mod error;
mod extract;
mod header;
mod pack;
mod root;

pub use changes::{Change, ChangeKind, changes};
pub use compression::{Compression, decompress};
pub use copy::{CopyIn, PathStat, copy_in, copy_out, copy_tree, export, stat};
pub use error::ArchiveError;
pub use extract::{ExtractOptions, Extracted, Limits, Mode, extract};
pub use pack::{PackOptions, TarWriter, pack, pack_upper};
pub use root::open_root;
