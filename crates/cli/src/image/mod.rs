//! Commands on images.

pub(crate) mod list;
pub(crate) mod manage;
pub(crate) mod transfer;
