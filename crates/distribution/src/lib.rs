//! Registries from the client's side.
//!
//! ```text
//! Client       all registries: connections, tokens, hosts; login, search, catalog
//!   Repository one repository, for one user: manifests, blobs, tags, referrers, push
//!     Server   one host that is asked: challenges, redirects, refusals
//!       Wire   requests over pooled connections, proxies, TLS (`gantry_web`)
//! ```
//!
//! Knows no images and no disk: blobs go into a [`Sink`] of the caller's and come from a
//! [`Source`]. All of it stops when its future is dropped.
//!
//! Sources: OCI distribution specification 1.1; Docker's registry API, token and OAuth2
//! specifications.

#![forbid(unsafe_code)]

mod answer;
mod auth;
mod blob;
mod client;
mod credentials;
mod error;
mod greet;
mod hosts;
mod list;
mod login;
mod manifest;
mod push;
mod referrers;
mod repository;
mod retry;
mod search;
mod server;
mod settings;

pub use gantry_web::{Proxies, Secret, WireError};

pub use crate::{
    answer::{Answer, RegistryError},
    blob::{Memory, Sink},
    client::Client,
    credentials::Credentials,
    error::DistributionError,
    hosts::index_key,
    login::Login,
    manifest::Document,
    push::{FileSource, PushedBlob, PushedHow, PushedManifest, Source},
    referrers::Referrer,
    repository::{At, Repository},
    search::Found,
    settings::{HostsConfig, Limits, Settings},
};
