//! What `gantry build` and the daemon say to each other.
//!
//! One build is one connection: `POST /gantry/build` with `Upgrade: gantry-build`. Either side
//! sends frames (`frame`), which carry the messages here as JSON, or raw bytes. The client begins
//! with the [`BuildRequest`]; then the daemon asks for what it needs of the client ([`Ask`]: lists
//! and files of contexts, secrets, agent connections), tells how the build goes ([`Progress`]) and
//! ends with [`FromDaemon::Done`] or [`FromDaemon::Failed`]. A client that closes the connection
//! has cancelled its build.

#![forbid(unsafe_code)]

mod frame;
mod message;
mod progress;
mod request;
mod tree;

pub use frame::{Frame, FrameError, Kind, MAX_FRAME_BYTES, decode, encode};
pub use message::{Ask, Built, Cause, Failure, FromClient, FromDaemon, Place};
pub use progress::{Cached, Completed, Log, Progress, Started, Stream, Vertex, Warning};
pub use request::{
    BuildRequest, CacheSpec, ContextSource, DockerfileSource, Entitlement, Limits, OutputKind,
    OutputSpec, RequestKind,
};
pub use tree::{Entry, EntryKind, Listing};
