//! OCI image, runtime and distribution types: Digest, Reference, Platform.

#![forbid(unsafe_code)]

pub mod capability;
mod digest;
pub mod image;
mod platform;
mod reference;
pub mod runtime;
pub mod signal;

pub use digest::{Algorithm, ChainId, Digest, DigestError, Hasher};
pub use image::{
    ContainerConfig, Descriptor, Healthcheck, History, ImageConfig, Index, Manifest, RootFs,
};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError, is_path, is_tag};
