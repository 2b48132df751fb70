//! The registry server: OCI distribution 1.1 over a directory.
//!
//! ```text
//! registry root              owner
//!   registry.db              index     repositories, manifests, tags, links, uploads
//!   blobs/sha256/<hex>       blobs     whole, verified, on disk before they are acknowledged
//!   blobs/sha512/<hex>
//!   uploads/<id>             blobs     what has come of blobs so far
//! ```
//!
//! ```text
//! http     connections, routes, one file a resource; the only place that knows status codes
//! index    what is there: in memory, persisted before it is published
//! blobs    trait: bytes by digest, and uploads of them; `directory` is the one on disk
//! manifest what a manifest refers to; pure
//! ```
//!
//! A blob belongs to those repositories that have a link to it; a file without any link goes. All
//! changes to a repository pass through its lock: checked against memory, committed to the store,
//! then published to memory. So what a client was told survives a kill at any moment, and what it
//! was not told is never visible in part.

#![forbid(unsafe_code)]

mod blobs;
mod cache;
mod clock;
pub mod command;
mod config;
mod http;
mod index;
mod manifest;
mod name;
mod registry;
mod server;
mod uploads;

pub use config::{Config, ConfigError};
pub use server::{ServeError, Server};
