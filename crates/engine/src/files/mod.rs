//! Files of a container: archive, changes, export, commit.

pub mod archive;
mod changes;
pub mod commit;
mod export;
mod root;
mod stream;

pub(crate) use stream::{StreamReader, written_by};
