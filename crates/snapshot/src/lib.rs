//! Overlayfs snapshots: prepare, commit, remove.

#![forbid(unsafe_code)]
