//! OCI image, runtime and distribution types: Digest, Reference, Platform.

#![forbid(unsafe_code)]

pub mod runtime;
