//! Docker Engine API bodies.
//!
//! One struct per JSON document, in the shape of the newest API version. A field that only some
//! versions have is an option: the HTTP layer fills it or leaves it `None`, and `None` is not
//! written. Reading is as tolerant as Go's decoder: what is missing or `null` is the zero value,
//! unknown fields are ignored. Lists and maps that Docker writes as `null` when they were never
//! set are `Option`s ([`NullableList`] and [`NullableMap`] read them without a `match`); the
//! others are written `[]` and `{}`.

#![forbid(unsafe_code)]

mod body;
pub mod container;
pub mod exec;
pub mod host_config;
pub mod image;
pub mod network;

pub use body::{Empty, Map, NullableList, NullableMap, Set, null_default, one_or_many};

/// The zero time as Go writes it: "never".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
