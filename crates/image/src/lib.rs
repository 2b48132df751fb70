//! Images: load, save, import, tag, unpack, remove.

#![forbid(unsafe_code)]
