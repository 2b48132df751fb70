//! Docker Engine API bodies.

#![forbid(unsafe_code)]
