//! Which images may come: a policy file, public keys, and the signatures that they are checked with.
//!
//! ```text
//! Gate       the policy file as it is now: read again when it changes
//!   Policy     requirements by transport and scope (`document` reads them)
//!     Rule       those for one image; the most specific scope alone counts
//!       signature  payloads of cosign, bundles of sigstore, against `key` and `identity`
//! ```
//!
//! Nothing here asks a registry: whoever does gives a [`Rule`] the [`Evidence`] that it found.
//!
//! Sources: containers-policy.json(5); cosign's "Signature Specification"; the simple signing format,
//! containers-signature(5); the protocol of DSSE 1.0; in-toto Statement 1; sigstore bundle 0.3.

#![forbid(unsafe_code)]

mod bundle;
mod document;
mod error;
mod gate;
mod identity;
mod key;
mod payload;
mod policy;
mod rule;
mod scope;
mod signature;

pub use error::{Denied, KeyError, PolicyError};
pub use gate::Gate;
pub use policy::Policy;
pub use rule::{Rule, Subject};
pub use signature::{Evidence, Rejection, Signature};
