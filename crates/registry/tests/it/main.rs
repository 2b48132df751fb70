//! Tests over HTTP. Those in `requirement` know an address and no more: each runs against this
//! registry over a directory and over a bucket, and, where that supports it, against Debian's docker-registry.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

mod access;
mod acme;
mod bucket;
mod clients;
mod collector;
mod fixture;
mod http;
mod mirror;
mod process;
mod requirement;
mod rules;
mod s3;
mod survival;
mod tls;
mod watch;
