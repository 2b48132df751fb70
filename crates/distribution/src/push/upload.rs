//! One upload.

use std::{io, sync::Arc};

use gantry_oci::{Descriptor, Digest};
use gantry_web::{Address, Ask, Payload, Reply, WireError, verb};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE},
};

use super::source::{Source, feed};
use crate::{
    DistributionError, Repository,
    auth::Scopes,
    retry::Patience,
    server::{Call, Server, refusal},
};

/// The least that a registry wants in one piece.
const CHUNK_MIN: &str = "oci-chunk-min-length";

/// One upload.
pub(super) struct Upload<'a> {
    pub repository: &'a Repository,
    pub server: &'a Server,
    pub scopes: Scopes,
    pub source: Arc<dyn Source>,
}

/// How far it is.
struct State {
    location: Address,
    /// What the registry has.
    offset: u64,
    chunk: u64,
}

/// An upload under way. Dropped before its end, as when another layer of the image has failed, it
/// is cancelled: nobody goes on with it.
struct Open<'a> {
    upload: &'a Upload<'a>,
    location: Option<Address>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let Some(location) = self.location.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (repository, server) = (self.upload.repository.clone(), self.upload.server.clone());
        runtime.spawn(async move { repository.cancel(&server, location).await });
    }
}

impl Upload<'_> {
    /// Sends the blob; gives its digest and size.
    pub(super) async fn run(
        &self,
        promise: Option<&Descriptor>,
        begun: Option<Address>,
    ) -> Result<(Digest, u64), DistributionError> {
        let limits = self.server.limits();
        let mut patience = Patience::stubborn(limits);
        let mut state = begun.map(|location| State {
            location,
            offset: 0,
            chunk: limits.push_chunk_bytes.max(1),
        });
        let mut best = 0;
        let mut open = Open { upload: self, location: None };
        loop {
            open.location = state.as_ref().map(|state| state.location.clone());
            let sent = match &mut state {
                Some(state) => self.send(state, promise).await,
                None => match self.begin().await {
                    Ok(begun) => {
                        state = Some(begun);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let error = match sent {
                Ok(done) => {
                    open.location = None;
                    return Ok(done);
                }
                Err(error) => error,
            };
            if let DistributionError::Request { source: WireError::Payload(source), .. } = error {
                let repository = self.repository.name().name();
                return Err(DistributionError::Source { repository, source });
            }
            let offset = state.as_ref().map_or(0, |state| state.offset);
            if offset > best {
                best = offset;
                patience.progress();
            }
            // A registry that lost the upload begins anew; one that has another part of it says so.
            let lost = error.status() == Some(404) && state.is_some();
            let apart = error.status() == Some(416) && state.is_some();
            let waited = if !lost && !apart {
                patience.again(error).await
            } else if patience.is_over() {
                Err(error)
            } else {
                Ok(())
            };
            if let Err(error) = waited {
                open.location = None;
                self.give_up(state, &error).await;
                return Err(error);
            }
            if let Some(done) = self.arrived(promise).await {
                open.location = None;
                return Ok(done);
            }
            state = match state {
                Some(state) if !lost => self.recover(state).await,
                _ => None,
            };
        }
    }

    /// A registry that answers gets the room back that an upload takes which nobody goes on with.
    async fn give_up(&self, state: Option<State>, error: &DistributionError) {
        if let Some(state) = state.filter(|_| error.status().is_some()) {
            self.repository.cancel(self.server, state.location).await;
        }
    }

    /// Begins an upload.
    async fn begin(&self) -> Result<State, DistributionError> {
        let path = self.repository.path(self.server, "blobs/uploads/");
        let address = self.server.address(&path).await?;
        let reply = self.server.expect(Call::new(Method::POST, address, &self.scopes)).await?;
        let least =
            reply.headers.get(CHUNK_MIN).and_then(|least| least.to_str().ok()?.parse().ok());
        let chunk = self.server.limits().push_chunk_bytes.max(least.unwrap_or(1));
        Ok(State { location: self.server.location(&reply)?, offset: 0, chunk })
    }

    /// Sends what is missing, and ends the upload.
    async fn send(
        &self,
        state: &mut State,
        promise: Option<&Descriptor>,
    ) -> Result<(Digest, u64), DistributionError> {
        let Some(blob) = promise else { return self.send_unknown(state).await };
        if state.offset == 0 && blob.size <= self.server.limits().monolithic_bytes {
            self.end(state, &blob.digest, Some(blob.size)).await?;
            return Ok((blob.digest.clone(), blob.size));
        }
        while state.offset < blob.size {
            let end = state.offset.saturating_add(state.chunk).min(blob.size);
            self.patch(state, Some(end)).await?;
        }
        self.end(state, &blob.digest, None).await?;
        Ok((blob.digest.clone(), blob.size))
    }

    /// Sends what is being made while it is sent.
    async fn send_unknown(&self, state: &mut State) -> Result<(Digest, u64), DistributionError> {
        self.patch(state, None).await?;
        let source = Arc::clone(&self.source);
        let identity = tokio::task::spawn_blocking(move || source.identity()).await;
        let identity = identity.map_err(io::Error::other).and_then(|identity| identity);
        let (digest, size) = identity.map_err(|source| {
            let repository = self.repository.name().name();
            DistributionError::Source { repository, source }
        })?;
        self.end(state, &digest, None).await?;
        Ok((digest, size))
    }

    /// Sends a chunk up to `end`, or all that is left.
    async fn patch(&self, state: &mut State, end: Option<u64>) -> Result<(), DistributionError> {
        let length = end.map(|end| end - state.offset);
        let mut headers = octets();
        if let Some(end) = end
            && let Ok(range) = HeaderValue::from_str(&format!("{}-{}", state.offset, end - 1))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        let reply =
            self.transfer(Method::PATCH, &state.location, headers, state.offset, length).await?;
        let before = state.offset;
        state.location = self.server.location(&reply)?;
        match (received(&reply), end) {
            (Some(offset), Some(end)) => state.offset = offset.min(end),
            (Some(offset), None) => state.offset = offset,
            (None, end) => state.offset = end.unwrap_or(state.offset),
        }
        if end.is_some() && state.offset <= before {
            return Err(DistributionError::BadAnswer {
                verb: "Patch",
                url: reply.address.to_string(),
                why: format!("nothing behind byte {before} was kept"),
            });
        }
        Ok(())
    }

    /// Ends the upload, with all of its content or none.
    async fn end(
        &self,
        state: &State,
        digest: &Digest,
        length: Option<u64>,
    ) -> Result<(), DistributionError> {
        let address = state.location.clone().with_query("digest", digest.as_str());
        if length.is_some() {
            return self.transfer(Method::PUT, &address, octets(), 0, length).await.map(drop);
        }
        let call = Call::new(Method::PUT, address, &self.scopes);
        self.server.expect(call).await.map(drop)
    }

    async fn transfer(
        &self,
        method: Method,
        address: &Address,
        headers: HeaderMap,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Reply, DistributionError> {
        // The first answer may be that it must be known who sends.
        for _ in 0..3 {
            let pieces = feed(&self.source, offset, length);
            let payload = Payload::Stream { length, pieces };
            let (address, headers) = (address.clone(), headers.clone());
            let ask = Ask { method: method.clone(), address, headers, payload };
            if let Some(reply) = self.server.send_once(ask, &self.scopes).await? {
                return accepted(reply, verb(&method)).await;
            }
        }
        Err(DistributionError::BadAnswer {
            verb: verb(&method),
            url: address.to_string(),
            why: "each token is refused".to_owned(),
        })
    }

    /// Whether the blob is there: an answer may be lost when all is done.
    async fn arrived(&self, promise: Option<&Descriptor>) -> Option<(Digest, u64)> {
        let blob = promise?;
        let there = self.repository.has_blob_at(self.server, &blob.digest, &super::PUSH).await;
        matches!(there, Ok(Some(_))).then(|| (blob.digest.clone(), blob.size))
    }

    /// Asks from where on to send; nothing if the upload is lost.
    async fn recover(&self, state: State) -> Option<State> {
        let call = Call::new(Method::GET, state.location.clone(), &self.scopes);
        let reply = self.server.ask(call).await.ok()?;
        if !matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::ACCEPTED) {
            return None;
        }
        let offset = received(&reply)?;
        let location = self.server.location(&reply).unwrap_or(state.location);
        tracing::info!(offset, repository = self.repository.name().name(), "upload goes on");
        Some(State { location, offset, chunk: state.chunk })
    }
}

async fn accepted(reply: Reply, verb: &'static str) -> Result<Reply, DistributionError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    let url = reply.address.to_string();
    Err(refusal(verb, url, reply).await)
}

fn octets() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers
}

/// `Range: 0-N`: how many bytes the registry has. `0-0` is what it says of nothing.
fn received(reply: &Reply) -> Option<u64> {
    let text = reply.headers.get(RANGE)?.to_str().ok()?;
    let text = text.trim().strip_prefix("bytes=").unwrap_or(text.trim());
    let last: u64 = text.split_once('-')?.1.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
