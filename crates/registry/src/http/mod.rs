//! HTTP: from a connection to a handler and back.
//!
//! ```text
//! connection   requests of one connection          io, send   transport; files by the kernel
//! route        path -> what it names               access     what a request needs
//! refusal      error -> status, code               reply      answers
//! blob, upload, manifest, list                     one file a resource of the specification
//! token, browse, debug                             one file each of what else there is
//! ```

mod access;
mod blob;
mod browse;
mod connection;
mod debug;
mod headers;
mod html;
mod io;
mod list;
mod manifest;
mod query;
mod range;
mod refusal;
mod reply;
mod route;
mod send;
mod token;
mod upload;

use std::{net::SocketAddr, time::Instant};

use gantry_oci::Digest;
use hyper::{
    Method, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WARNING},
    http::request::Parts,
};

use self::{
    headers::{API_VERSION, CONTENT_DIGEST},
    query::Query,
    refusal::{Code, Refusal},
    reply::{Reply, full},
    route::Route,
};
use crate::{audit::Entry, auth::Caller, registry::Registry};

pub(crate) use connection::{Peer, serve};
pub(crate) use debug::serve as serve_debug;
pub(crate) use io::Io;

/// A request with its path read.
pub(crate) struct Call<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) head: &'a Parts,
    pub(crate) query: Query,
    pub(crate) caller: Caller,
}

impl Call<'_> {
    /// A header as text; none if it is not there, or is no text.
    pub(crate) fn header(&self, name: hyper::header::HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// What is noted of a request.
struct Noted {
    caller: Caller,
    object: &'static str,
    repository: String,
    reference: String,
}

/// Answers one request. What a handler leaves of the body is the caller's to read.
pub(crate) async fn answer(
    registry: &Registry,
    peer: Peer,
    head: &Parts,
    body: &mut Incoming,
) -> Reply {
    let started = Instant::now();
    let mut noted = Noted {
        caller: Caller::Anyone,
        object: "other",
        repository: String::new(),
        reference: String::new(),
    };
    let mut reply = match dispatch(registry, peer, head, body, &mut noted).await {
        Ok(reply) => reply,
        Err(refusal) => Reply::Whole(refusal.into_response()),
    };
    let status = reply.status().as_u16();
    registry.metrics.request(noted.object, method_label(&head.method), status, started.elapsed());
    note(registry, peer.address, head, &noted, &mut reply);
    let headers = reply.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Some(warning) = &registry.warning {
        headers.insert(WARNING, warning.clone());
    }
    reply
}

/// Writes the audit log's line.
fn note(registry: &Registry, peer: SocketAddr, head: &Parts, noted: &Noted, reply: &mut Reply) {
    let Some(audit) = &registry.audit else { return };
    let status = reply.status();
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if reads(&head.method) && noted.object != "token" && !refused && !audit.reads {
        return;
    }
    let digest = reply.headers_mut().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    audit.note(&Entry {
        user: noted.caller.name(),
        peer: peer.to_string(),
        method: head.method.as_str(),
        object: noted.object,
        repository: &noted.repository,
        reference: &noted.reference,
        digest: digest.unwrap_or_default(),
        status: status.as_u16(),
    });
}

async fn dispatch(
    registry: &Registry,
    peer: Peer,
    head: &Parts,
    body: &mut Incoming,
    noted: &mut Noted,
) -> Result<Reply, Refusal> {
    match head.uri.path() {
        "/token" => {
            noted.object = "token";
            let (response, caller) = token::answer(&registry.gate, head, body).await?;
            noted.caller = caller;
            return Ok(response.into());
        }
        "/" => {
            noted.object = "page";
            return browse::page(registry, head).await.map(Into::into);
        }
        "/debug/health" => return Ok(debug::health(registry).await.into()),
        "/metrics" if !registry.gate.is_closed() => return Ok(debug::metrics(registry).into()),
        _ => {}
    }
    let route = route::find(head.uri.path())?;
    noted.object = route.label();
    noted.repository = route.name().map_or_else(String::new, ToString::to_string);
    noted.reference = route.reference().to_owned();
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = registry.gate.recognise(authorization).await;
    let caller = caller.map_err(|why| access::untrue(&registry.gate, head, peer.tls, why))?;
    noted.caller = caller.clone();
    access::check(&registry.gate, head, &caller, &route, peer.tls)?;
    let query = Query::parse(head.uri.query().unwrap_or_default());
    handle(&Call { registry, head, query, caller }, route, body).await
}

async fn handle(call: &Call<'_>, route: Route, body: &mut Incoming) -> Result<Reply, Refusal> {
    let method = &call.head.method;
    match route {
        Route::Base if reads(method) => Ok(base()),
        Route::Catalog if reads(method) => list::catalog(call),
        Route::Tags(name) if reads(method) => list::tags(call, &name),
        Route::Referrers(name, digest) if reads(method) => {
            list::referrers(call, &name, &self::digest(&digest)?).await
        }
        Route::Manifest(name, reference) => match *method {
            Method::GET | Method::HEAD => manifest::get(call, &name, &reference).await,
            Method::PUT => manifest::put(call, &name, &reference, body).await,
            Method::DELETE => manifest::delete(call, &name, &reference).await,
            _ => Err(Refusal::method()),
        },
        Route::Blob(name, digest) => {
            let digest = self::digest(&digest)?;
            match *method {
                Method::GET | Method::HEAD => blob::get(call, &name, &digest).await,
                Method::DELETE => blob::delete(call, &name, &digest).await,
                _ => Err(Refusal::method()),
            }
        }
        Route::Uploads(name) if *method == Method::POST => upload::begin(call, &name, body).await,
        Route::Upload(name, id) => match *method {
            Method::GET | Method::HEAD => upload::status(call, &name, &id).await,
            Method::PATCH => upload::chunk(call, &name, &id, body).await,
            Method::PUT => upload::finish(call, &name, &id, body).await,
            Method::DELETE => upload::cancel(call, &name, &id).await,
            _ => Err(Refusal::method()),
        },
        _ => Err(Refusal::method()),
    }
}

/// The method in figures: clients may send any word.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn base() -> Reply {
    let mut response = full(StatusCode::OK, "{}");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.into()
}

/// Reads a digest of a path or a query.
fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::new(Code::DigestInvalid, format!("invalid digest {text:?}")))
}
