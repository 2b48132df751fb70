//! Commands that speak of registries, and who the user is there.
//!
//! ```text
//! keyring   credentials in the configuration file, or in programs that it names
//! helper    such a program
//! login     login, logout
//! search    search
//! manifest/ manifests and lists of them, straight from registries
//! ```

mod helper;
pub(crate) mod keyring;
pub(crate) mod login;
pub(crate) mod manifest;
pub(crate) mod search;
