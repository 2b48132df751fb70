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

mod builder;
pub mod cache;
mod client;
pub mod executor;
pub mod frontend;
pub mod graph;
pub mod plan;
pub mod remote;

pub use builder::{Builder, Failed, Kept, Options, Parts, Taken};
pub use client::{Bytes, Client, ClientError, Connection, Instruction, Output};
