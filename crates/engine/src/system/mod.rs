//! The daemon's own figures.

pub mod disk_usage;
mod info;
mod prune;
