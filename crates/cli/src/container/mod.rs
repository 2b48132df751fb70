//! Commands on containers.

pub(crate) mod attach;
pub(crate) mod body;
pub(crate) mod copy;
pub(crate) mod exec;
mod files;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod manage;
pub(crate) mod mounts;
pub(crate) mod network;
mod ports;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod tarball;

pub(crate) use files::reason;
