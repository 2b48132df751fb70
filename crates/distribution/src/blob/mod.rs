//! Blobs: downloaded into a sink, from where it is, and checked.
//!
//! ```text
//! servers in order -> the first that has it all
//!   one request, or ranges side by side   a broken connection goes on where it broke
//!     -> pipe -> sink                     a thread of its own
//! digest wrong -> thrown away; once more if some of it was there before, else the next server
//! ```

mod fetch;
mod pipe;
mod portion;
mod sink;

use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Descriptor, Digest};
use gantry_web::Address;
use hyper::Method;

pub use self::sink::{Memory, Sink};
use self::{
    fetch::Fetch,
    pipe::{Full, Pipe},
};
use crate::{
    Credentials, DistributionError, Repository,
    auth::Scopes,
    hosts::Action,
    server::{Call, Server, refusal},
};

/// Why a download ends.
pub(crate) enum Stop {
    /// The sink failed; it tells why when it is asked.
    Sink,
    /// Something else did.
    Failed(DistributionError),
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Self::Sink
    }
}

impl From<DistributionError> for Stop {
    fn from(error: DistributionError) -> Self {
        Self::Failed(error)
    }
}

impl Repository {
    /// Downloads a blob into a sink and gives the sink back: size and digest are right then.
    ///
    /// # Errors
    /// When no server has it as it must be, or the sink fails. The sink is dropped.
    pub async fn blob<S: Sink>(&self, blob: &Descriptor, sink: S) -> Result<S, DistributionError> {
        let mut pipe = Pipe::new(sink);
        let filled = self.fill(&mut pipe, blob).await;
        let sink = pipe.finish().await;
        match filled {
            Err(Stop::Failed(error)) => Err(error),
            // Without a failure of its own the sink's thread is at its end because we are.
            Ok(()) | Err(Stop::Sink) => sink
                .map_err(|source| DistributionError::Sink { digest: blob.digest.clone(), source }),
        }
    }

    /// Downloads a blob of at most `limit_bytes` into memory.
    ///
    /// # Errors
    /// As [`Repository::blob`], and [`DistributionError::TooLarge`].
    pub async fn read_blob(
        &self,
        blob: &Descriptor,
        limit_bytes: u64,
    ) -> Result<Bytes, DistributionError> {
        if blob.size > limit_bytes {
            let (verb, limit) = ("Get", limit_bytes);
            let url = format!("{}@{}", self.name().name(), blob.digest);
            return Err(DistributionError::TooLarge { verb, url, limit });
        }
        Ok(Bytes::from(self.blob(blob, Memory::default()).await?.0))
    }

    /// The size of a blob, if the registry itself has it.
    ///
    /// # Errors
    /// When it does not say whether.
    pub async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>, DistributionError> {
        let server = self.writer()?;
        self.has_blob_at(server, digest, &["pull"]).await
    }

    pub(crate) async fn has_blob_at(
        &self,
        server: &Server,
        digest: &Digest,
        actions: &[&str],
    ) -> Result<Option<u64>, DistributionError> {
        let address = server.address(&self.path(server, &format!("blobs/{digest}"))).await?;
        let url = address.to_string();
        let call = Call::new(Method::HEAD, address, &self.scopes(server, actions));
        let reply = server.ask_patiently(&call).await?;
        if reply.status.as_u16() == 404 {
            return Ok(None);
        }
        if !reply.status.is_success() {
            return Err(refusal("Head", url, reply).await);
        }
        let size = reply.headers.get(hyper::header::CONTENT_LENGTH);
        Ok(Some(size.and_then(|size| size.to_str().ok()?.parse().ok()).unwrap_or_default()))
    }

    async fn fill<S: Sink>(&self, pipe: &mut Pipe<S>, blob: &Descriptor) -> Result<(), Stop> {
        if pipe.offset() > blob.size {
            restart(pipe, || self.too_long(blob, blob.size + 1)).await?;
        }
        let mut kept = pipe.offset() > 0;
        let places = self.places(blob).await?;
        let mut last = None;
        for (server, fetch) in places {
            let outcome = loop {
                let outcome = fill_from(&fetch, pipe).await;
                // Bytes of an earlier download may be what is wrong; a digest tells it of all.
                let again = matches!(&outcome, Err(Stop::Failed(DistributionError::Digest { .. })));
                if !(again && std::mem::take(&mut kept)) {
                    break outcome;
                }
            };
            match outcome {
                Err(Stop::Failed(error)) => {
                    self.pass_over(&server, &error);
                    last = Some(error);
                }
                other => return other,
            }
        }
        Err(last.map_or(Stop::Sink, Stop::Failed))
    }

    /// Where a blob may be, in order.
    async fn places(
        &self,
        blob: &Descriptor,
    ) -> Result<Vec<(Server, Arc<Fetch>)>, DistributionError> {
        let mut places = Vec::new();
        for server in self.servers(Action::Pull)? {
            let path = self.path(server, &format!("blobs/{}", blob.digest));
            let scopes = self.scopes(server, &["pull"]);
            places.push((server.clone(), Arc::new(Fetch::new(server, path, scopes, blob))));
        }
        // Layers that registries may not give away are where the manifest says.
        for url in blob.urls.iter().filter_map(|url| Address::parse(url)) {
            let Some(client) = places.first().map(|(server, _)| server.shared()) else { break };
            let Some(endpoint) = client.hosts.elsewhere(&url).await else {
                let (url, digest) = (url.to_string(), blob.digest.as_str());
                tracing::info!(url, digest, "a blob's URL is passed over: it is without TLS");
                continue;
            };
            let server = Server::new(&client, endpoint, &Arc::new(Credentials::Anonymous))?;
            let fetch = Fetch::new(&server, url.target.clone(), Scopes::default(), blob);
            places.push((server, Arc::new(fetch)));
        }
        Ok(places)
    }

    fn too_long(&self, blob: &Descriptor, actual: u64) -> DistributionError {
        DistributionError::Size {
            what: "blob",
            host: self.name().domain().to_owned(),
            digest: blob.digest.clone(),
            expected: blob.size,
            actual,
        }
    }
}

/// Fetches what is missing, and checks all.
async fn fill_from<S: Sink>(fetch: &Arc<Fetch>, pipe: &mut Pipe<S>) -> Result<(), Stop> {
    fetch.run(pipe).await?;
    let blob = fetch.blob();
    let Ok(actual) = pipe.digest(blob.digest.algorithm()).await? else { return Err(Stop::Sink) };
    if actual == blob.digest {
        return Ok(());
    }
    let expected = blob.digest.clone();
    let wrong = DistributionError::Digest { what: "blob", host: fetch.host(), expected, actual };
    let mut wrong = Some(wrong);
    restart(pipe, || wrong.take().expect("asked once")).await?;
    Err(wrong.map_or(Stop::Sink, Stop::Failed))
}

/// Throws everything away, or ends with what was wrong with it.
async fn restart<S: Sink>(
    pipe: &mut Pipe<S>,
    wrong: impl FnOnce() -> DistributionError,
) -> Result<(), Stop> {
    pipe.restart().await?.map_err(|error| {
        tracing::warn!(%error, "a blob that is wrong cannot be thrown away");
        Stop::Failed(wrong())
    })
}
