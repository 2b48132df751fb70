//! The builder against real layers, real mounts and real commands.

mod bed;
mod caching;
mod client;
mod contexts;
mod copies;
mod crashes;
mod executor;
mod failures;
mod mounts;
mod outputs;
mod security;
mod solving;
mod sources;
