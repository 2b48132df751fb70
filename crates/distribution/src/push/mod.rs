//! Pushing: blobs that are not there, then the manifests that name them.
//!
//! ```text
//! HEAD -> there already
//! POST ?mount -> taken over from another repository
//! POST -> PUT                  small ones
//! POST -> PATCH… -> PUT        larger ones; broken -> GET tells from where on -> PATCH…
//! ```

mod source;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Descriptor, Digest};
use gantry_web::Address;
use hyper::{Method, StatusCode, header::CONTENT_TYPE};

pub use self::source::{FileSource, Source};
use self::upload::Upload;
use crate::{
    At, DistributionError, Repository,
    auth::Scopes,
    manifest::DIGEST,
    referrers::SUBJECT,
    server::{Call, Server, refusal},
};

/// What must be allowed for a push.
const PUSH: [&str; 2] = ["pull", "push"];

/// What became of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushedHow {
    /// It was there.
    Exists,
    /// It was taken over from another repository.
    Mounted {
        /// The other repository's path.
        from: String,
    },
    /// It was sent.
    Uploaded,
}

/// A blob that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedBlob {
    /// What became of it.
    pub how: PushedHow,
    /// Its digest.
    pub digest: Digest,
    /// Its size, bytes.
    pub size: u64,
}

/// A manifest that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its size, bytes.
    pub size: u64,
}

/// Where an upload begins, if the blob is not there without one.
enum Begin {
    Mounted(String),
    At(Address),
}

impl Repository {
    /// Pushes a blob, unless it is there or can be mounted from one of `mount_from`, paths of
    /// repositories of the same registry.
    ///
    /// Without a promise it is sent while it is made, and its digest asked of the source at the end.
    ///
    /// # Errors
    /// When it cannot be read, or the registry does not take it.
    pub async fn push_blob(
        &self,
        source: impl Source,
        promise: Option<&Descriptor>,
        mount_from: &[String],
    ) -> Result<PushedBlob, DistributionError> {
        let server = self.writer()?;
        let scopes = self.scopes(server, &PUSH);
        let mut begin = None;
        if let Some(blob) = promise {
            let pushed = |how| PushedBlob { how, digest: blob.digest.clone(), size: blob.size };
            if self.has_blob_at(server, &blob.digest, &PUSH).await?.is_some() {
                return Ok(pushed(PushedHow::Exists));
            }
            match self.mount(server, &blob.digest, mount_from).await? {
                Some(Begin::Mounted(from)) => return Ok(pushed(PushedHow::Mounted { from })),
                Some(Begin::At(location)) => begin = Some(location),
                None => {}
            }
        }
        let source: Arc<dyn Source> = Arc::new(source);
        let upload = Upload { repository: self, server, scopes, source };
        let (digest, size) = upload.run(promise, begin).await?;
        Ok(PushedBlob { how: PushedHow::Uploaded, digest, size })
    }

    /// Asks for a blob of another repository. A registry that does not give it begins an upload.
    async fn mount(
        &self,
        server: &Server,
        digest: &Digest,
        mount_from: &[String],
    ) -> Result<Option<Begin>, DistributionError> {
        let mut begun = None;
        for from in mount_from {
            if let Some(location) = begun.take() {
                self.cancel(server, location).await;
            }
            let other = server.endpoint().repository(from);
            let scopes = self.scopes(server, &PUSH).and(&format!("repository:{other}"), &["pull"]);
            let address = server.address(&self.path(server, "blobs/uploads/")).await?;
            let address = address.with_query("mount", digest.as_str()).with_query("from", &other);
            let reply = match server.ask(Call::new(Method::POST, address, &scopes)).await {
                Ok(reply) => reply,
                // Rights on another repository are not what the push needs.
                Err(error) if error.status().is_some() => continue,
                Err(error) => return Err(error),
            };
            match reply.status {
                StatusCode::CREATED => return Ok(Some(Begin::Mounted(from.clone()))),
                StatusCode::ACCEPTED => begun = Some(server.location(&reply)?),
                // Not there, or not for us: it is sent then.
                _ => {}
            }
        }
        Ok(begun.map(Begin::At))
    }

    /// Tells that an upload is not gone on with; a registry forgets it sometime anyway.
    async fn cancel(&self, server: &Server, location: Address) {
        let call = Call::new(Method::DELETE, location, &self.scopes(server, &PUSH));
        if let Err(error) = server.ask(call).await {
            tracing::debug!(error = gantry_fault::chain(&error), "upload not cancelled");
        }
    }

    /// Pushes a manifest or index.
    ///
    /// Where it refers to another one (`subject`) and the registry keeps no list of such, the list
    /// is kept in a tag, as the specification says.
    ///
    /// # Errors
    /// When the registry does not take it, or has another digest for it.
    pub async fn push_manifest(
        &self,
        bytes: Bytes,
        media_type: &str,
        at: &At,
    ) -> Result<PushedManifest, DistributionError> {
        let server = self.writer()?;
        let digest = match at {
            At::Digest(digest) => digest.clone(),
            At::Tag(_) => Digest::of(&bytes),
        };
        let lists = self.put_manifest(server, bytes.clone(), media_type, at, &digest).await?;
        let size = bytes.len() as u64;
        if !lists {
            let descriptor = Descriptor::new(media_type, digest.clone(), size);
            self.list_referrer(server, &bytes, descriptor).await?;
        }
        Ok(PushedManifest { digest, size })
    }

    /// Puts a manifest; tells whether the registry has noted what it refers to.
    pub(crate) async fn put_manifest(
        &self,
        server: &Server,
        bytes: Bytes,
        media_type: &str,
        at: &At,
        digest: &Digest,
    ) -> Result<bool, DistributionError> {
        let path = self.path(server, &format!("manifests/{}", at.text()));
        let address = server.address(&path).await?;
        let url = address.to_string();
        let mut call = Call::new(Method::PUT, address, &self.scopes(server, &PUSH))
            .with(CONTENT_TYPE, media_type)?;
        call.body = bytes;
        let reply = server.ask_patiently(&call).await?;
        if !reply.status.is_success() {
            return Err(refusal("Put", url, reply).await);
        }
        let said = reply.headers.get(DIGEST).and_then(|value| value.to_str().ok());
        if let Some(actual) = said.and_then(|text| text.parse::<Digest>().ok())
            && actual != *digest
            && actual.algorithm() == digest.algorithm()
        {
            let (host, expected) = (server.name(), digest.clone());
            return Err(DistributionError::Digest { what: "manifest", host, expected, actual });
        }
        Ok(reply.headers.contains_key(SUBJECT))
    }

    /// Deletes a manifest, or only a tag.
    ///
    /// # Errors
    /// When it is not there, or the registry does not delete.
    pub async fn delete_manifest(&self, at: &At) -> Result<(), DistributionError> {
        self.delete(&format!("manifests/{}", at.text())).await
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// When it is not there, or the registry does not delete.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), DistributionError> {
        self.delete(&format!("blobs/{digest}")).await
    }

    async fn delete(&self, rest: &str) -> Result<(), DistributionError> {
        let server = self.writer()?;
        let address = server.address(&self.path(server, rest)).await?;
        // Registries differ in what they call this right.
        let scopes: Scopes = self.scopes(server, &["delete", "pull", "push"]);
        let url = address.to_string();
        let reply = server.ask(Call::new(Method::DELETE, address, &scopes)).await?;
        if reply.status.is_success() { Ok(()) } else { Err(refusal("Delete", url, reply).await) }
    }
}
