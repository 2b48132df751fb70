//! The storage client's requests over our own connections: one way to servers elsewhere, with its
//! proxies and its check of certificates.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use gantry_web::{Address, Ask, Payload, Pieces, Proxies, Trust, Waits, Wire, WireError};
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Frame, header::HeaderValue};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};

/// How long the storage is waited for.
const WAITS: Waits = Waits {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};

/// Makes the client.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let proxies = Arc::new(Proxies::of_environment());
        let name = HeaderValue::from_static("gantry-registry");
        let wire = Wire::new(&Trust::system(false), &proxies, WAITS, &name).map_err(|source| {
            object_store::Error::Generic { store: "S3", source: Box::new(source) }
        })?;
        Ok(HttpClient::new(Service(wire)))
    }
}

#[derive(Debug)]
struct Service(Wire);

impl HttpService for Service {
    fn call<'own: 'run, 'run>(
        &'own self,
        request: HttpRequest,
    ) -> BoxFuture<'run, Result<HttpResponse, HttpError>>
    where
        Self: 'run,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let address = head.uri.to_string();
            let address = Address::parse(&address).ok_or_else(|| {
                HttpError::new(HttpErrorKind::Unknown, WireError::Protocol(address))
            })?;
            let payload = match body.content_length() {
                0 => Payload::Empty,
                _ => Payload::Whole(body.collect().await?.to_bytes()),
            };
            let ask = Ask { method: head.method, address, headers: head.headers, payload };
            let reply = self.0.send(ask).await.map_err(error)?;
            let mut response = HttpResponse::new(content(reply.pieces));
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            Ok(response)
        })
    }
}

fn content(pieces: Pieces) -> HttpResponseBody {
    let frames = stream::try_unfold(pieces, |mut pieces| async move {
        let next = pieces.next().await.map_err(error)?;
        Ok::<_, HttpError>(next.map(|data: Bytes| (Frame::data(data), pieces)))
    });
    HttpResponseBody::new(StreamBody::new(frames.fuse()))
}

/// What kind of error it is decides whether the request is tried again.
fn error(error: WireError) -> HttpError {
    let kind = match error {
        WireError::Lookup { .. } | WireError::Dial { .. } => HttpErrorKind::Connect,
        WireError::Broken(_) => HttpErrorKind::Interrupted,
        WireError::Silent(_) | WireError::Stalled(_) => HttpErrorKind::Timeout,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
