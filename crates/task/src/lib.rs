//! One process in one bundle: spawns shims, speaks to them, waits.

#![forbid(unsafe_code)]
