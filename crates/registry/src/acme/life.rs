//! What a certificate is for, and until when.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::AcmeError;

/// The life of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Whom it is for, in order.
    pub(super) domains: Vec<String>,
    /// Nobody else signed it.
    pub(super) own: bool,
    /// When it begins, s since 1970.
    pub(super) from_s: u64,
    /// When it ends.
    pub(super) until_s: u64,
}

impl Life {
    /// Reads the first certificate of a file.
    pub(super) fn read(path: &Path) -> Result<Self, AcmeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| AcmeError::Certificate(error.to_string()))?;
        Self::of(&text)
    }

    /// Reads the first certificate of a text.
    pub(super) fn of(text: &str) -> Result<Self, AcmeError> {
        let wrong = |error: &dyn std::fmt::Display| AcmeError::Certificate(error.to_string());
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| wrong(&error))?;
        let (_, certificate) = parse_x509_certificate(&der).map_err(|error| wrong(&error))?;
        let names = certificate.subject_alternative_name().map_err(|error| wrong(&error))?;
        let names = names.map_or_else(Vec::new, |names| names.value.general_names.clone());
        let mut domains: Vec<String> = names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        domains.sort();
        let second = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp());
        let validity = certificate.validity();
        Ok(Self {
            domains,
            own: certificate.issuer() == certificate.subject(),
            from_s: second(validity.not_before).unwrap_or(0),
            until_s: second(validity.not_after).unwrap_or(0),
        })
    }

    /// When it is to be renewed: after two thirds of its life.
    pub(super) fn renew_s(&self) -> u64 {
        self.until_s.saturating_sub(self.until_s.saturating_sub(self.from_s) / 3)
    }

    /// Whether it is for these domains, and no others.
    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        let mut wanted: Vec<String> =
            domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        wanted.sort();
        wanted.dedup();
        wanted == self.domains
    }
}

/// A certificate that nobody trusts, with its key, for the time until there is another.
pub(super) fn placeholder(domains: &[String]) -> Result<String, rcgen::Error> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(domains)?;
    Ok(format!("{}\n{}", cert.pem(), signing_key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_for_its_domains_and_ones_own() {
        let domains = ["b.example".to_owned(), "A.example".to_owned()];
        let life = Life::of(&placeholder(&domains).expect("made")).expect("read");
        assert!(life.own);
        assert_eq!(life.domains, ["a.example", "b.example"]);
        assert!(life.is_for(&domains));
        assert!(!life.is_for(&domains[..1]));
        assert!(life.from_s < life.until_s);
    }

    #[test]
    fn a_third_of_a_life_is_left_for_renewal() {
        let (from_s, until_s) = (1000, 1900);
        let life = Life { domains: Vec::new(), own: false, from_s, until_s };
        assert_eq!(life.renew_s(), 1600);
    }

    #[test]
    fn what_is_none_is_told() {
        assert!(Life::of("").is_err());
        assert!(
            Life::of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err()
        );
    }
}
