//! Transactional records with schema versions.

#![forbid(unsafe_code)]
