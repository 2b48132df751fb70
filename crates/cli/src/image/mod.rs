//! Commands on images.

mod bars;
pub(crate) mod list;
pub(crate) mod manage;
pub(crate) mod transfer;
