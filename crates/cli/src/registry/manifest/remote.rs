//! Registries, asked from here.

use gantry_api_types::auth::AuthConfig;
use gantry_distribution::{
    At, Client, Credentials, Document, Proxies, Repository, Secret, Settings, index_key,
};
use gantry_oci::{ImageConfig, Manifest, Reference};

use super::{Entry, listed};
use crate::app::{Call, Failure};

/// Largest configuration document, bytes.
const CONFIG_MAX: u64 = 8 << 20;

/// One repository.
pub(super) struct Remote(pub(super) Repository);

impl Remote {
    /// The repository of a name, for the user.
    pub(super) async fn of(call: &Call<'_>, name: &Reference) -> Result<Self, Failure> {
        let mut settings = Settings { proxies: Proxies::of_environment(), ..Settings::default() };
        if call.flags.is_on("insecure") {
            settings.hosts.insecure_registries.push(name.domain().to_owned());
        }
        let config = call.app.config.credentials(&index_key(name.domain()))?;
        let client = Client::new(settings).map_err(failed)?;
        let repository = client.repository(name, &credentials(config)).await.map_err(failed)?;
        Ok(Self(repository))
    }

    /// What the name points at.
    pub(super) async fn document(&self, name: &Reference) -> Result<Document, Failure> {
        use gantry_distribution::DistributionError as Error;
        let found = self.0.manifest(&At::of(name)).await;
        found.map_err(|error| match error {
            Error::ManifestUnknown { .. } | Error::RepositoryUnknown { .. } => {
                Failure::Text(format!("no such manifest: {}", name.canonical()))
            }
            error => failed(error),
        })
    }

    /// A manifest with the platform that its configuration names.
    pub(super) async fn entry(
        &self,
        name: &Reference,
        document: Document,
    ) -> Result<Entry, Failure> {
        let manifest: Manifest =
            serde_json::from_slice(&document.bytes).map_err(|error| error.to_string())?;
        let config = self.0.read_blob(&manifest.config, CONFIG_MAX).await.map_err(failed)?;
        let config: ImageConfig = serde_json::from_slice(&config).unwrap_or_default();
        let descriptor = listed(&document.descriptor, config.platform());
        Ok(Entry { descriptor, ..Entry::new(name, &document) })
    }
}

/// The words of a registry's failure.
pub(super) fn failed(error: gantry_distribution::DistributionError) -> Failure {
    Failure::Text(gantry_fault::chain(&error))
}

fn credentials(config: AuthConfig) -> Credentials {
    let AuthConfig { username, password, identitytoken, registrytoken, .. } = config;
    if !registrytoken.is_empty() {
        Credentials::Registry(Secret::new(registrytoken))
    } else if !identitytoken.is_empty() {
        Credentials::Identity { username, token: Secret::new(identitytoken) }
    } else if username.is_empty() {
        Credentials::Anonymous
    } else {
        Credentials::Basic { username, password: Secret::new(password) }
    }
}
