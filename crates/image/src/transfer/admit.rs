//! What the image policy says of an image in a registry, and the signatures that it asks for.
//!
//! ```text
//! sha256-<hex>.sig   a tag of cosign's: a manifest with a layer for each signature
//! referrers          the same manifest, or one with a sigstore bundle
//! ```
//!
//! Asked for are those of what the name points at and of the platform's manifest: either is enough,
//! since an index names its manifests by digest. All of it is small and bounded; a signature that
//! cannot be read is one that does not count, and the rest is looked at all the same.

use futures_util::future::join;
use gantry_distribution::{At, DistributionError, Document, Repository};
use gantry_oci::{Descriptor, Digest, Manifest, Reference};
use gantry_policy::{Evidence, Rule, Signature, Subject};

use super::{TransferError, Transfers, blocking};
use crate::ImageError;

/// The type of cosign's payloads, of layers.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer with its signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The type of manifests of cosign's that refer to what they sign.
const REFERRER: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The type of sigstore's bundles, of layers and of the manifests that refer with them.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Signatures of one image that are looked at.
const SIGNATURES_MAX: usize = 64;
/// Manifests with signatures of one image that are looked at.
const MANIFESTS_MAX: usize = 32;
/// The largest payload or bundle, bytes.
const BYTES_MAX: u64 = 1 << 20;

impl Transfers {
    /// Ends with an error what the policy does not let in. The name is the user's, whatever mirror
    /// answers for it.
    pub(super) async fn admit(
        &self,
        repository: &Repository,
        name: &Reference,
        digests: &[Digest],
    ) -> Result<(), TransferError> {
        let (gate, subject) = (self.0.images.0.gate.clone(), Subject::Registry(name.clone()));
        let rule = blocking(move || gate.rule(subject)).await?;
        let rule = rule.map_err(ImageError::from)?;
        judge(&rule, repository, digests).await
    }
}

/// What a rule says of what has these digests.
async fn judge(
    rule: &Rule,
    repository: &Repository,
    digests: &[Digest],
) -> Result<(), TransferError> {
    let mut failed = None;
    let mut found = Evidence { digests: digests.to_vec(), ..Evidence::default() };
    if rule.needs_signatures() {
        let mut look = Look { repository, manifests: 0, found: &mut found, failed: None };
        for digest in digests {
            look.at(digest).await;
        }
        failed = look.failed;
    }
    match (rule.judge(&found), failed) {
        (Ok(()), _) => Ok(()),
        // Nobody knows what is where nobody could look.
        (Err(_), Some(source)) => {
            let name = repository.name().familiar();
            Err(TransferError::Signatures { name, source: Box::new(source) })
        }
        (Err(denied), None) => Err(denied.into()),
    }
}

/// Looks for signatures in a repository.
struct Look<'a> {
    repository: &'a Repository,
    /// Manifests that were looked at.
    manifests: usize,
    found: &'a mut Evidence,
    /// Why something could not be asked for.
    failed: Option<DistributionError>,
}

impl Look<'_> {
    /// Adds the signatures of what has a digest.
    async fn at(&mut self, digest: &Digest) {
        let (tagged, referrers) =
            join(tagged(self.repository, digest), referrers(self.repository, digest)).await;
        match tagged {
            Ok(Some(document)) => self.take(&document).await,
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
        let referrers = referrers.unwrap_or_else(|error| {
            self.failed = Some(error);
            Vec::new()
        });
        for referrer in referrers {
            if self.manifests >= MANIFESTS_MAX {
                self.unusable(format!("there are more than {MANIFESTS_MAX} manifests of them"));
                break;
            }
            match self.repository.manifest(&At::Digest(referrer)).await {
                Ok(document) => self.take(&document).await,
                Err(error) => self.unusable(gantry_fault::chain(&error)),
            }
        }
    }

    /// Adds the signatures in a manifest.
    async fn take(&mut self, document: &Document) {
        self.manifests += 1;
        let manifest: Manifest = match serde_json::from_slice(&document.bytes) {
            Ok(manifest) => manifest,
            Err(error) => return self.unusable(error.to_string()),
        };
        for layer in manifest.layers {
            let kind = layer.media_type.as_str();
            if !matches!(kind, PAYLOAD | BUNDLE) {
                continue;
            }
            if self.found.signatures.len() >= SIGNATURES_MAX {
                return self.unusable(format!("there are more than {SIGNATURES_MAX}"));
            }
            match self.read(&layer).await {
                Ok(signature) => self.found.signatures.push(signature),
                Err(why) => {
                    self.unusable(why);
                    // Each try costs as much as a signature.
                    if self.found.unusable.len() >= SIGNATURES_MAX {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&self, layer: &Descriptor) -> Result<Signature, String> {
        // What is said of other places is not for signatures: the registry has them, or nobody.
        let here = Descriptor { urls: Vec::new(), ..layer.clone() };
        let bytes = self.repository.read_blob(&here, BYTES_MAX).await;
        let bytes = bytes.map_err(|error| gantry_fault::chain(&error))?.to_vec();
        if layer.media_type == BUNDLE {
            return Ok(Signature::Bundle(bytes));
        }
        let signature = layer.annotations.get(SIGNATURE).cloned();
        let signature = signature.ok_or_else(|| format!("it has no annotation {SIGNATURE}"))?;
        Ok(Signature::Simple { payload: bytes, signature })
    }

    fn unusable(&mut self, why: String) {
        self.found.unusable.push(why);
    }
}

/// The manifest in the tag that cosign makes of a digest.
async fn tagged(
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<Document>, DistributionError> {
    let tag = format!("{}-{}.sig", digest.algorithm().name(), digest.hex());
    if !gantry_oci::is_tag(&tag) {
        // A digest of 512 bits is too long for a tag.
        return Ok(None);
    }
    match repository.manifest(&At::Tag(tag)).await {
        Ok(document) => Ok(Some(document)),
        Err(DistributionError::ManifestUnknown { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The manifests that refer to a digest with signatures.
async fn referrers(
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Digest>, DistributionError> {
    let all = repository.referrers(digest, None).await?;
    let signs = |kind: Option<&str>| matches!(kind, Some(REFERRER | BUNDLE));
    let signing = all.into_iter().filter(|referrer| signs(referrer.artifact_type.as_deref()));
    Ok(signing.map(|referrer| referrer.descriptor.digest).collect())
}
