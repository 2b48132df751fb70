//! Files of a container: archive, changes, export, commit.

pub mod archive;
mod changes;
pub mod commit;
mod export;
