//! Health and figures, for those who watch.

use std::convert::Infallible;

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpStream;

use super::{
    refusal::Refusal,
    reply::{Response, With, full},
};
use crate::registry::Registry;

/// `GET /debug/health`: 200 with an empty object, 503 with what does not work.
pub(super) async fn health(registry: &Registry) -> Response {
    let (status, body) = match registry.blobs.check().await {
        Ok(()) => (StatusCode::OK, json!({})),
        Err(error) => {
            tracing::error!("storage: {}", gantry_fault::chain(&error));
            let what = match error.is_passing() {
                true => "the bucket does not take or give data",
                false => "the storage does not take or give data",
            };
            let broken = json!({ "storage": what });
            (StatusCode::SERVICE_UNAVAILABLE, broken)
        }
    };
    full(status, body.to_string())
        .with(CONTENT_TYPE, "application/json")
        .with(CACHE_CONTROL, "no-store")
}

/// `GET /metrics`: 200.
pub(super) fn metrics(registry: &Registry) -> Response {
    let text = registry.metrics.text(registry.index.stock());
    full(StatusCode::OK, text).with(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
}

/// Speaks HTTP on a connection to the address that is for those who watch alone.
pub(crate) async fn serve(stream: TcpStream, registry: Registry) {
    let service = service_fn(move |request: Request<Incoming>| {
        let registry = registry.clone();
        async move {
            let response = match (request.method(), request.uri().path()) {
                (&Method::GET, "/debug/health") => health(&registry).await,
                (&Method::GET, "/metrics") => metrics(&registry),
                _ => Refusal::no_page().into_response(),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let spoken = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = spoken {
        tracing::debug!(%error, "a connection broke");
    }
}
