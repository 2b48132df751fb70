//! Commands on the daemon, contexts, volumes and networks, and for the shell.

pub(crate) mod completion;
pub(crate) mod context;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod network;
pub(crate) mod version;
pub(crate) mod volume;
