//! Tar streams and their compressions, extracted beneath a directory descriptor.
//!
//! Everything that touches the file system goes through descriptors: a parent directory is
//! resolved by `openat2(2)` with `RESOLVE_IN_ROOT`, so that no name, link or race in an archive or
//! below the root leads outside; the last component of a path is never followed.
//!
//! The tar reader is our own, because a layer comes from strangers: extension headers are bounded,
//! PAX records are cut by their length (an extended attribute may hold a newline), and all sparse
//! formats of GNU tar are understood.

#![forbid(unsafe_code)]

mod changes;
mod compression;
mod copy;
mod error;
mod extract;
mod fill;
mod gzip;
mod metadata;
mod options;
mod pack;
mod reader;
mod root;
mod sparse;
mod walk;
mod writer;

pub use changes::{Change, ChangeKind, changes};
pub use compression::{Compression, compress, decompress};
pub use copy::{CopyIn, PathStat, copy_in, copy_out, copy_tree, export, stat};
pub use error::ArchiveError;
pub use extract::{Extracted, extract};
pub use metadata::{Xattrs, is_opaque, read as read_xattrs, write as write_xattrs};
pub use options::{ExtractOptions, Limits, Mode};
pub use pack::{Packed, pack, pack_until, pack_upper, pack_upper_until};
pub use reader::{Entry, EntryKind, Reader};
pub use root::{names, open_dir, open_in_root, open_root, remove_tree};
pub use walk::{Usage, usage};
pub use writer::{Header, TarWriter};
