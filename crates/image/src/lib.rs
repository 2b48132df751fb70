//! Images: pull, push, load, save, import, commit, tag, resolve, remove.
//!
//! An image is a configuration document in `content`, whose digest is its id; layers, each a blob
//! as it came in `content` and a directory in `snapshot`; and names that point at it. The records in
//! the store tie them together. All images are kept in memory, so that resolving and listing
//! read no disk.
//!
//! What an unfinished load leaves is in no record, so nobody sees it and the next collection takes
//! it; a lease on the content protects it until then.

#![forbid(unsafe_code)]

mod build;
pub mod changes;
mod error;
mod gc;
mod history;
mod ingest;
mod layout;
mod lease;
mod load;
mod make;
mod model;
mod names;
mod record;
mod remove;
mod reopen;
mod save;
mod state;
pub mod transfer;

pub use build::{Commit, Import, LayerFile};
pub use error::{ImageError, RemoveError, ResolveError};
pub use lease::LayerLease;
pub use load::{LoadEvent, Loaded};
pub use make::Make;
pub use model::{
    HistoryEntry, Image, ImageAction, ImageEvent, ImageUser, LayerRecord, OnEvent, Origin,
};
pub use remove::{Prune, RemoveOptions, Removed};
pub use save::{Archive, ArchiveImage, manifest, manifest_of};
pub use state::{ImageLease, Images, Keeper};
