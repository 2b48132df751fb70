//! Builds: graph, cache, steps.

#![forbid(unsafe_code)]

pub mod executor;
pub mod graph;
