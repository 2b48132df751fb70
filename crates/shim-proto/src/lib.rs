//! Messages between the daemon and a shim.

#![forbid(unsafe_code)]
