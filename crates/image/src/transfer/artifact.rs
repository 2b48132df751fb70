//! What registries keep that is no image, such as the cache of a build.

use gantry_distribution::{Credentials, Repository};
use gantry_oci::{Manifest, Reference};

use super::{TransferError, Transfers, found::Found};

/// What a name in a registry stands for.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Where its blobs are.
    pub repository: Repository,
    /// Its manifest; that of an image is for this machine's platform.
    pub manifest: Manifest,
}

impl Transfers {
    /// Finds the manifest that a name stands for, of an image or of anything else. No blob is
    /// fetched, and none must be if the image policy does not let the name in.
    ///
    /// # Errors
    /// When the registry has none, or the policy is against it.
    pub async fn find(
        &self,
        name: &Reference,
        credentials: &Credentials,
    ) -> Result<Artifact, TransferError> {
        let repository = self.0.client.repository(name, credentials).await?;
        let found = Found::of_any(&repository, name, None).await?;
        self.admit(&repository, name, &found.digests()).await?;
        Ok(Artifact { repository, manifest: found.parsed })
    }
}
