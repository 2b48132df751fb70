//! The Engine API over HTTP: routes, version shapes, hijacked streams.

#![forbid(unsafe_code)]
