//! Blobs by digest: ingest, verify, leases, garbage collection.

#![forbid(unsafe_code)]
