//! Whom a server's certificate must be from, and who we are.

use std::{fmt, path::Path};

use gantry_oci::Hasher;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{read_file, wrong_file};
use crate::DistributionError;

/// Whom a server's certificate must be from, and who we are.
pub(crate) struct Trust {
    /// Anybody may sign.
    pub skip_verify: bool,
    /// Authorities beside those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Our certificates and their key.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Trust {
    /// What the machine trusts.
    pub(crate) fn system(skip_verify: bool) -> Self {
        Self { skip_verify, authorities: Vec::new(), identity: None }
    }

    /// Whether something is said that only TLS needs.
    pub(super) fn is_plain(&self) -> bool {
        !self.skip_verify && self.authorities.is_empty() && self.identity.is_none()
    }

    pub(super) fn add_authorities(&mut self, path: &Path) -> Result<(), DistributionError> {
        self.authorities.extend(certificates(path)?);
        Ok(())
    }

    /// Takes a certificate and its key; of several the first is used.
    pub(super) fn add_identity(
        &mut self,
        cert: &Path,
        key: &Path,
    ) -> Result<(), DistributionError> {
        let chain = certificates(cert)?;
        let pem = read_file(key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| wrong_file(key, format!("no private key: {error}")))?;
        if self.identity.is_none() {
            self.identity = Some((chain, key));
        }
        Ok(())
    }

    /// Tells these from others.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = Hasher::sha256();
        let mut add = |data: &[u8]| {
            hasher.update(&(data.len() as u64).to_le_bytes());
            hasher.update(data);
        };
        add(&[u8::from(self.skip_verify), u8::from(self.identity.is_some())]);
        add(&(self.authorities.len() as u64).to_le_bytes());
        self.authorities.iter().for_each(|authority| add(authority));
        if let Some((chain, key)) = &self.identity {
            chain.iter().for_each(|certificate| add(certificate));
            add(key.secret_der());
        }
        hasher.finish().to_string()
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

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DistributionError> {
    let pem = read_file(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong_file(path, format!("no certificate: {error}")))?;
    if found.is_empty() { Err(wrong_file(path, "no certificate is in it")) } else { Ok(found) }
}
