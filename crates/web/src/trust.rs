//! Whom a server's certificate must be from, and who we are.

use std::fmt;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Whom a server's certificate must be from, and who we are.
#[derive(Default)]
pub struct Trust {
    /// Anybody may sign.
    pub skip_verify: bool,
    /// Authorities beside those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Our certificates and their key.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Trust {
    /// What the machine trusts, or anybody.
    #[must_use]
    pub fn system(skip_verify: bool) -> Self {
        Self { skip_verify, ..Self::default() }
    }

    /// Whether nothing is said that only TLS needs.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.skip_verify && self.authorities.is_empty() && self.identity.is_none()
    }
}

impl Clone for Trust {
    fn clone(&self) -> Self {
        let identity = self.identity.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()));
        Self { skip_verify: self.skip_verify, authorities: self.authorities.clone(), identity }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("skip_verify", &self.skip_verify)
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
