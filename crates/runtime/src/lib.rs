//! The OCI runtime: create, start, kill, delete, exec.

#![forbid(unsafe_code)]
