//! One blob from one server.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gantry_oci::Descriptor;
use gantry_web::{Address, Ask, Payload, Reply, WireError};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{HeaderValue, RANGE},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Sink, Stop,
    pipe::Pipe,
    portion::{Asked, Portion},
};
use crate::{
    DistributionError,
    auth::Scopes,
    retry::Patience,
    server::{Call, Server, refusal},
};

/// One blob from one server.
pub(super) struct Fetch {
    server: Server,
    /// Below the server's root.
    path: String,
    scopes: Scopes,
    blob: Descriptor,
    /// Where the server sent to, so that it is not asked for every range.
    elsewhere: Mutex<Option<Address>>,
}

impl Fetch {
    pub(super) fn new(server: &Server, path: String, scopes: Scopes, blob: &Descriptor) -> Self {
        let (server, blob) = (server.clone(), blob.clone());
        Self { server, path, scopes, blob, elsewhere: Mutex::default() }
    }

    pub(super) fn blob(&self) -> &Descriptor {
        &self.blob
    }

    pub(super) fn host(&self) -> String {
        self.server.name()
    }

    /// Fetches what is missing.
    pub(super) async fn run<S: Sink>(self: &Arc<Self>, pipe: &mut Pipe<S>) -> Result<(), Stop> {
        let limits = self.server.limits();
        let missing = self.blob.size.saturating_sub(pipe.offset());
        if missing < limits.ranges_from_bytes || limits.range_connections < 2 {
            return self.stream(pipe, None).await;
        }
        let first = self.ranges(pipe.offset()).next().unwrap_or_default();
        let mut patience = Patience::stubborn(limits);
        let reply = loop {
            match self.open(&first).await {
                Ok(reply) => break reply,
                Err(error) => patience.again(error).await?,
            }
        };
        if reply.status == StatusCode::PARTIAL_CONTENT {
            self.side_by_side(pipe, reply).await
        } else {
            self.stream(pipe, Some(reply)).await
        }
    }

    fn ranges(&self, from: u64) -> impl Iterator<Item = Range<u64>> + Send + use<> {
        let (size, step) = (self.blob.size, self.server.limits().range_bytes.max(1));
        let start = move |number: u64| from.saturating_add(number.saturating_mul(step));
        (0u64..)
            .map(move |number| start(number)..start(number + 1).min(size))
            .take_while(move |range| range.start < size)
    }

    /// One request for all that is missing, and another one whenever it breaks.
    async fn stream<S: Sink>(
        &self,
        pipe: &mut Pipe<S>,
        mut opened: Option<Reply>,
    ) -> Result<(), Stop> {
        let mut patience = Patience::stubborn(self.server.limits());
        while pipe.offset() < self.blob.size {
            let before = pipe.offset();
            let poured = self.pour(pipe, opened.take()).await;
            if pipe.offset() > before {
                patience.progress();
            }
            match poured {
                Err(Stop::Failed(error)) => patience.again(error).await?,
                other => other?,
            }
        }
        Ok(())
    }

    async fn pour<S: Sink>(&self, pipe: &mut Pipe<S>, opened: Option<Reply>) -> Result<(), Stop> {
        let wanted = pipe.offset()..self.blob.size;
        let reply = match opened {
            Some(reply) => reply,
            None => self.open(&wanted).await?,
        };
        let mut portion = Portion::new(reply, self.asked(wanted))?;
        while let Some(piece) = portion.next().await? {
            pipe.write(piece).await?;
        }
        Ok(())
    }

    /// Several ranges at a time; they go to the sink in their order.
    async fn side_by_side<S: Sink>(
        self: &Arc<Self>,
        pipe: &mut Pipe<S>,
        reply: Reply,
    ) -> Result<(), Stop> {
        let mut first = Some(reply);
        let fetch = |range: Range<u64>| {
            let (own, opened) = (Arc::clone(self), first.take());
            AbortOnDropHandle::new(tokio::spawn(async move { own.range(range, opened).await }))
        };
        let connections = self.server.limits().range_connections;
        let ranges = stream::iter(self.ranges(pipe.offset()).map(fetch)).buffered(connections);
        let mut ranges = std::pin::pin!(ranges);
        while let Some(range) = ranges.next().await {
            let pieces =
                range.map_err(|error| self.broken(WireError::Broken(error.to_string())))?;
            for piece in pieces? {
                pipe.write(piece).await?;
            }
        }
        Ok(())
    }

    async fn range(
        &self,
        range: Range<u64>,
        mut opened: Option<Reply>,
    ) -> Result<Vec<Bytes>, DistributionError> {
        let mut pieces = Vec::new();
        let mut missing = range;
        let mut patience = Patience::stubborn(self.server.limits());
        while !missing.is_empty() {
            let before = missing.start;
            let came = self.collect(&mut missing, &mut pieces, opened.take()).await;
            if missing.start > before {
                patience.progress();
            }
            if let Err(error) = came {
                patience.again(error).await?;
            }
        }
        Ok(pieces)
    }

    async fn collect(
        &self,
        missing: &mut Range<u64>,
        pieces: &mut Vec<Bytes>,
        opened: Option<Reply>,
    ) -> Result<(), DistributionError> {
        let reply = match opened {
            Some(reply) => reply,
            None => self.open(missing).await?,
        };
        let mut portion = Portion::new(reply, self.asked(missing.clone()))?;
        while let Some(piece) = portion.next().await? {
            missing.start += piece.len() as u64;
            pieces.push(piece);
        }
        Ok(())
    }

    fn asked(&self, wanted: Range<u64>) -> Asked<'_> {
        Asked { blob: &self.blob, host: self.server.name(), wanted }
    }

    /// Asks for a range; an answer may hold all the same.
    async fn open(&self, wanted: &Range<u64>) -> Result<Reply, DistributionError> {
        let mut headers = HeaderMap::new();
        if let Some(range) = self.header(wanted) {
            headers.insert(RANGE, range);
        }
        if let Some(reply) = self.open_elsewhere(&headers).await? {
            return Ok(reply);
        }
        let address = self.server.address(&self.path).await?;
        let mut call = Call::new(Method::GET, address.clone(), &self.scopes);
        call.headers = headers;
        let reply = self.server.ask(call).await?;
        match reply.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            // It has not as many bytes as there must be.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(DistributionError::Size {
                    what: "blob",
                    host: self.server.name(),
                    digest: self.blob.digest.clone(),
                    expected: self.blob.size,
                    actual: wanted.start,
                });
            }
            _ => return Err(refusal("Get", address.to_string(), reply).await),
        }
        if !reply.address.same_origin(&address) {
            self.set_elsewhere(Some(reply.address.clone()));
        }
        Ok(reply)
    }

    /// Asks where the server sent to before, as long as that works.
    async fn open_elsewhere(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Reply>, DistributionError> {
        let known = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(address) = known else { return Ok(None) };
        let headers = headers.clone();
        let ask = Ask { method: Method::GET, address, headers, payload: Payload::Empty };
        match self.server.send(ask).await {
            Ok(reply) if matches!(reply.status.as_u16(), 200 | 206) => Ok(Some(reply)),
            // Such addresses expire.
            Ok(_) | Err(_) => {
                self.set_elsewhere(None);
                Ok(None)
            }
        }
    }

    fn set_elsewhere(&self, address: Option<Address>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// `Range`, unless everything is wanted.
    fn header(&self, wanted: &Range<u64>) -> Option<HeaderValue> {
        let text = match (wanted.start, wanted.end == self.blob.size) {
            (0, true) => return None,
            (start, true) => format!("bytes={start}-"),
            (start, false) => format!("bytes={start}-{}", wanted.end - 1),
        };
        HeaderValue::from_str(&text).ok()
    }

    fn broken(&self, source: WireError) -> DistributionError {
        let url = format!("{}{}", self.server.name(), self.path);
        DistributionError::Request { verb: "Get", url, source }
    }
}
