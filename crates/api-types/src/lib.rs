//! Docker Engine API bodies.
//!
//! One struct per JSON document, in the shape of the newest API version. A field that only some
//! versions have is an option: the HTTP layer fills it or leaves it `None`, and `None` is not
//! written. Reading is as tolerant as Go's decoder: what is missing or `null` is the zero value,
//! unknown fields are ignored. Lists and maps that Docker writes as `null` when they were never
//! set are `Option`s ([`NullableList`] and [`NullableMap`] read them without a `match`); the
//! others are written `[]` and `{}`.

#![forbid(unsafe_code)]

pub mod archive;
pub mod auth;
mod body;
pub mod build;
pub mod container;
pub mod error;
pub mod events;
pub mod exec;
pub mod filters;
pub mod host_config;
pub mod image;
pub mod network;
pub mod port;
pub mod stats;
pub mod system;
mod update;
pub mod version;
pub mod volume;

pub use body::{Empty, Map, NullableList, NullableMap, Set, null_default, one_or_many};
pub use error::ErrorBody;
pub use filters::Filters;
pub use version::ApiVersion;

/// The zero time as Go writes it: "never".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
