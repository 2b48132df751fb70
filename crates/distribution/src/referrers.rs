//! Referrers: manifests that say of themselves that they are about another one.
//!
//! Registries list them; for those that do not, the list is an index in a tag that is made of the
//! digest, `sha256-<hex>`, and who pushes keeps it.
//!
//! Source: OCI distribution specification 1.1, "Listing Referrers", "Referrers Tag Schema".

use bytes::Bytes;
use gantry_oci::{Descriptor, Digest, image::media};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{At, DistributionError, Repository, hosts::Action, list::pages, server::Server};

/// By which a registry says that it has noted the subject.
pub(crate) const SUBJECT: &str = "oci-subject";

/// A manifest that is about another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// Where it is.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it is.
    #[serde(default, rename = "artifactType", skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

#[derive(Default, Deserialize)]
struct List {
    #[serde(default)]
    manifests: Option<Vec<Referrer>>,
}

/// What a manifest says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Words {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Config>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    media_type: String,
}

impl Repository {
    /// What refers to a manifest; of one type only, if one is given.
    ///
    /// # Errors
    /// When the registry cannot be asked; a manifest that is not there has no referrers.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, DistributionError> {
        let mut last = Ok(Vec::new());
        for server in self.servers(Action::Resolve)? {
            last = self.referrers_at(server, subject, artifact_type).await;
            match &last {
                // Many mirrors know of none.
                Ok(found) if found.is_empty() => {}
                Ok(_) => break,
                Err(error) => self.pass_over(server, error),
            }
        }
        last
    }

    async fn referrers_at(
        &self,
        server: &Server,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, DistributionError> {
        let path = self.path(server, &format!("referrers/{subject}"));
        let mut address = server.address(&path).await?;
        if let Some(artifact_type) = artifact_type {
            address = address.with_query("artifactType", artifact_type);
        }
        let read =
            |page: &[u8]| Ok(serde_json::from_slice::<List>(page)?.manifests.unwrap_or_default());
        let listed = match pages(server, address, &self.scopes(server, &["pull"]), read).await {
            Ok(listed) => listed,
            Err(error) if matches!(error.status(), Some(404 | 405)) => {
                self.tagged(server, subject).await?.1
            }
            Err(error) => return Err(error),
        };
        // Registries may leave the choice to us.
        let wanted = |referrer: &Referrer| {
            artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted))
        };
        Ok(listed.into_iter().filter(wanted).collect())
    }

    /// The list in the tag: as it is, and what is in it.
    async fn tagged(
        &self,
        server: &Server,
        subject: &Digest,
    ) -> Result<(Value, Vec<Referrer>), DistributionError> {
        let empty =
            || (serde_json::json!({"schemaVersion": 2, "mediaType": media::INDEX}), Vec::new());
        let document = match self.fetch(server, &tag(subject)).await {
            Ok(document) => document,
            Err(error) if error.status() == Some(404) => return Ok(empty()),
            Err(error) => return Err(error),
        };
        // Something else that has this tag is no list.
        let index = serde_json::from_slice(&document.bytes).unwrap_or(Value::Null);
        match serde_json::from_value::<List>(index.clone()) {
            Ok(list) if media::is_index(&document.descriptor.media_type) => {
                Ok((index, list.manifests.unwrap_or_default()))
            }
            _ => Ok(empty()),
        }
    }

    /// Notes in the tag what a manifest refers to, if it refers to something.
    pub(crate) async fn list_referrer(
        &self,
        server: &Server,
        manifest: &[u8],
        mut descriptor: Descriptor,
    ) -> Result<(), DistributionError> {
        let Ok(words) = serde_json::from_slice::<Words>(manifest) else { return Ok(()) };
        let Some(subject) = words.subject else { return Ok(()) };
        let (mut index, mut listed) = self.tagged(server, &subject.digest).await?;
        if listed.iter().any(|referrer| referrer.descriptor.digest == descriptor.digest) {
            return Ok(());
        }
        descriptor.annotations = words.annotations.unwrap_or_default();
        let of_config = words.config.map(|config| config.media_type);
        let artifact_type = words
            .artifact_type
            .filter(|text| !text.is_empty())
            .or(of_config)
            .filter(|text| !text.is_empty());
        listed.push(Referrer { descriptor, artifact_type });
        index["manifests"] = serde_json::to_value(listed).unwrap_or_default();
        let bytes = Bytes::from(index.to_string());
        let digest = Digest::of(&bytes);
        self.put_manifest(server, bytes, media::INDEX, &tag(&subject.digest), &digest).await?;
        Ok(())
    }
}

/// The tag that holds the list: a tag has at most 128 characters, and 64 of a digest are enough.
fn tag(subject: &Digest) -> At {
    let hex: String = subject.hex().chars().take(64).collect();
    At::Tag(format!("{}-{hex}", subject.algorithm().name()))
}
