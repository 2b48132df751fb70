//! Builds: graph, cache, steps.

#![forbid(unsafe_code)]

pub mod executor;
pub mod frontend;
pub mod graph;
pub mod remote;
