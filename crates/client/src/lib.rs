//! The Engine API from the client's side.
//!
//! A [`Client`] speaks HTTP/1 over a Unix socket, TCP, TCP with TLS, or the standard streams of
//! `ssh HOST docker system dial-stdio`. It keeps at most one idle connection, since a command
//! line makes a handful of calls one after the other; streams and hijacks get their own.
//!
//! Methods are grouped by subject (`containers`, `images`, `system`, ...). Those that answer
//! JSON are generic over the type it is read into, so that a caller who prints the daemon's
//! document takes `serde_json::Value` and loses nothing, and one who works with it takes a type.

#![forbid(unsafe_code)]

mod build;
mod connect;
mod containers;
mod error;
mod hijack;
mod host;
mod images;
mod query;
mod request;
mod system;
mod tls;

pub use build::{BuildEvent, BuildHost, BuildSession, Destination};
pub use connect::Stream;
pub use containers::{ArchiveStat, LogsOptions};
pub use error::ClientError;
pub use hijack::{HijackReader, HijackWriter, Hijacked};
pub use host::Host;
pub use query::Query;
pub use request::{ByteStream, Client, Options, Payload, Ping, Response};
pub use tls::TlsOptions;

/// The newest API version that this client speaks.
pub const MAX_API_VERSION: &str = "1.51";

/// The oldest API version that this client speaks.
pub const MIN_API_VERSION: &str = "1.24";
