//! HTTP: from a connection to a handler and back.
//!
//! ```text
//! connection   requests of one connection; files go out by the kernel
//! route        path -> what it names              refusal   error -> status, code
//! blob, upload, manifest, list                    one file a resource
//! ```

mod blob;
mod connection;
mod headers;
mod io;
mod list;
mod manifest;
mod query;
mod range;
mod refusal;
mod reply;
mod route;
mod send;
mod upload;

use gantry_oci::Digest;
use hyper::{
    Method, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};

use self::{
    headers::API_VERSION,
    query::Query,
    refusal::{Code, Refusal},
    reply::{Reply, full},
    route::Route,
};
use crate::registry::Registry;

pub(crate) use connection::serve;
pub(crate) use io::Io;

/// A request with its path read.
pub(crate) struct Call<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) head: &'a Parts,
    pub(crate) query: Query,
}

impl Call<'_> {
    /// A header as text; none if it is not there, or is no text.
    pub(crate) fn header(&self, name: hyper::header::HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// Answers one request. What a handler leaves of the body is the caller's to read.
pub(crate) async fn answer(registry: &Registry, head: &Parts, body: &mut Incoming) -> Reply {
    let mut reply = match dispatch(registry, head, body).await {
        Ok(reply) => reply,
        Err(refusal) => Reply::Whole(refusal.into_response()),
    };
    let headers = reply.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    reply
}

async fn dispatch(
    registry: &Registry,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let route = route::find(head.uri.path())?;
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let call = Call { registry, head, query };
    let method = &head.method;
    match route {
        Route::Base if reads(method) => Ok(base()),
        Route::Catalog if reads(method) => list::catalog(&call),
        Route::Tags(name) if reads(method) => list::tags(&call, &name),
        Route::Referrers(name, digest) if reads(method) => {
            list::referrers(&call, &name, &self::digest(&digest)?).await
        }
        Route::Manifest(name, reference) => match *method {
            Method::GET | Method::HEAD => manifest::get(&call, &name, &reference).await,
            Method::PUT => manifest::put(&call, &name, &reference, body).await,
            Method::DELETE => manifest::delete(&call, &name, &reference).await,
            _ => Err(Refusal::method()),
        },
        Route::Blob(name, digest) => {
            let digest = self::digest(&digest)?;
            match *method {
                Method::GET | Method::HEAD => blob::get(&call, &name, &digest).await,
                Method::DELETE => blob::delete(&call, &name, &digest).await,
                _ => Err(Refusal::method()),
            }
        }
        Route::Uploads(name) if *method == Method::POST => upload::begin(&call, &name, body).await,
        Route::Upload(name, id) => match *method {
            Method::GET | Method::HEAD => upload::status(&call, &name, &id).await,
            Method::PATCH => upload::chunk(&call, &name, &id, body).await,
            Method::PUT => upload::finish(&call, &name, &id, body).await,
            Method::DELETE => upload::cancel(&call, &name, &id).await,
            _ => Err(Refusal::method()),
        },
        _ => Err(Refusal::method()),
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
