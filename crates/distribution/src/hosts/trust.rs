//! Certificates in files.

use std::path::Path;

use gantry_oci::Hasher;
use gantry_web::Trust;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{read_file, wrong_file};
use crate::DistributionError;

/// Trusts the authorities of a file.
pub(super) fn add_authorities(trust: &mut Trust, path: &Path) -> Result<(), DistributionError> {
    trust.authorities.extend(certificates(path)?);
    Ok(())
}

/// Takes a certificate of ours and its key; of several the first is used.
pub(super) fn add_identity(
    trust: &mut Trust,
    cert: &Path,
    key: &Path,
) -> Result<(), DistributionError> {
    let chain = certificates(cert)?;
    let pem = read_file(key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| wrong_file(key, format!("no private key: {error}")))?;
    trust.identity.get_or_insert((chain, key));
    Ok(())
}

/// Tells what is trusted from other such.
pub(crate) fn fingerprint(trust: &Trust) -> String {
    let mut hasher = Hasher::sha256();
    let mut add = |data: &[u8]| {
        hasher.update(&(data.len() as u64).to_le_bytes());
        hasher.update(data);
    };
    add(&[u8::from(trust.skip_verify), u8::from(trust.identity.is_some())]);
    add(&(trust.authorities.len() as u64).to_le_bytes());
    trust.authorities.iter().for_each(|authority| add(authority));
    if let Some((chain, key)) = &trust.identity {
        chain.iter().for_each(|certificate| add(certificate));
        add(key.secret_der());
    }
    hasher.finish().to_string()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DistributionError> {
    let pem = read_file(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong_file(path, format!("no certificate: {error}")))?;
    if found.is_empty() { Err(wrong_file(path, "no certificate is in it")) } else { Ok(found) }
}
