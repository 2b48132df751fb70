//! The Engine API over HTTP: routes, version shapes, hijacked streams.
//!
//! A tour: [`serve_connection`] speaks HTTP/1.1 on one connection and hands each request to a
//! [`Router`]. The router strips the version from the path, finds the row of `routes` and calls
//! its handler (the modules by subject: `containers`, `images`, `system`, ...), two lines of work
//! each: the engine decides, this crate translates. `shape` makes a document of the newest version
//! into that of the client's. `hijack` and `pump` take a connection over for `attach` and `exec`.

#![forbid(unsafe_code)]

mod absent;
mod body;
mod build;
mod call;
mod connection;
mod containers;
mod drain;
mod error;
mod events;
mod exec;
mod hijack;
mod images;
mod networks;
mod origin;
mod pattern;
mod progress;
mod pump;
mod query;
mod registry;
mod router;
mod routes;
mod shape;
mod splice;
mod system;
mod time;
mod volumes;
mod websocket;

pub use body::{Body, Response};
pub use build::Builds;
pub use connection::serve_connection;
pub use gantry_api_types::ApiVersion;
pub use router::{Router, router};

use gantry_engine::Engine;
use gantry_image::Images;
use gantry_image::transfer::Transfers;

/// What the doors open to.
#[derive(Clone)]
pub struct Api {
    /// The containers.
    pub engine: Engine,
    /// The images.
    pub images: Images,
    /// Registries.
    pub transfers: Transfers,
    /// The builds.
    pub builds: Builds,
    /// What the daemon is.
    pub version: ServerVersion,
    /// Oldest API version that is spoken.
    pub min_version: ApiVersion,
    /// Names, beyond `localhost` and addresses, under which a browser may reach the API.
    pub host_names: Vec<String>,
}

/// What the daemon tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerVersion {
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub git_commit: String,
    /// When it was built, RFC 3339.
    pub build_time: String,
    /// Kernel release.
    pub kernel: String,
    /// Version of the compiler.
    pub compiler: String,
    /// Experimental features are on.
    pub experimental: bool,
}
