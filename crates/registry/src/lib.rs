//! The registry server: OCI distribution 1.1 over a directory, or over a bucket of S3.
//!
//! ```text
//! registry root              owner
//!   registry.db              index     repositories, manifests, tags, links, uploads
//!   blobs/sha256/<hex>       blobs     whole, verified, on disk before they are acknowledged
//!   blobs/sha512/<hex>
//!   uploads/<id>             blobs     what has come of blobs so far
//!   token.key                auth      signs tokens
//!   acme/                    acme      account, certificate and its key
//! ```
//!
//! ```text
//! server     listens; `command` is its command line, `config` its file
//! http       connections, routes, one file a resource; the only place that knows status codes
//! acme, tls  certificates from an authority; from files
//! auth       who asks, and what he may do            audit, metrics   what was done
//! index      what is there: in memory, persisted before it is published
//! uploads    one request at a time for each          collector        what nothing needs goes
//! blobs      trait: bytes by digest, and uploads of them; `directory` is the one on disk
//! bucket     the same in S3, with manifests and tags beside them
//! mirror     fetches what is not here                 upstream         trait: from whom
//! manifest   what a manifest refers to; pure         rules, pattern   who and what rules are for
//! ```
//!
//! A blob belongs to those repositories that have a link to it; a file without any link goes. All
//! changes to a repository pass through its lock: checked against memory, committed to the store,
//! then published to memory. So what a client was told survives a kill at any moment, and what it
//! was not told is never visible in part.

#![forbid(unsafe_code)]

mod acme;
mod audit;
mod auth;
mod blobs;
mod bucket;
mod cache;
mod clock;
mod collector;
pub mod command;
mod config;
mod http;
mod index;
mod manifest;
mod metrics;
mod mirror;
mod name;
mod pattern;
mod registry;
mod rules;
mod server;
mod tls;
mod uploads;
mod upstream;

pub use auth::{Action, Right};
pub use config::{
    Acme, Audit, Auth, Challenge, Collect, Config, ConfigError, Delete, Limits, Mirror, S3, Tls,
};
pub use pattern::Pattern;
pub use rules::{Protect, Quota, Retention, Span};
pub use server::{ServeError, Server};
pub use upstream::UpstreamError;
