//! Builds: graph, cache, steps.
//!
//! ```text
//! Builder::build ─▶ contexts (trees) ─▶ Frontend::plan ─▶ Graph ─▶ solve ─▶ outputs
//!                                                                  │  ▲
//!                                                            ops ──┘  └── cache
//! ```
//!
//! What a build wants of whoever asked for it goes through [`Client`]; who runs commands is behind
//! [`Executor`](executor::Executor); what turns a text into a graph is a [`Frontend`](plan::Frontend).
//! The solver knows no Dockerfiles, and nothing here knows HTTP.

#![forbid(unsafe_code)]

mod base;
mod build;
mod builder;
pub mod cache;
mod client;
mod contexts;
pub mod executor;
mod exports;
mod failure;
pub mod frontend;
pub mod graph;
mod imports;
mod kept;
mod layout;
mod mounts;
mod ops;
mod output;
pub mod plan;
mod produce;
pub mod remote;
mod reporter;
mod resolver;
mod runs;
mod scratch;
mod solve;
mod streams;
mod taken;
mod travel;
mod trees;
mod web;
mod whole;

use streams::blocking;

pub use builder::{Builder, Failed, Options, Parts};
pub use client::{Bytes, Client, ClientError, Connection, Instruction, Output};
pub use kept::Kept;
pub use taken::Taken;
