//! An upstream over HTTP: one connection a request, tokens and passwords, redirects.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use futures_util::{StreamExt, future::BoxFuture, stream};
use gantry_oci::{Digest, image::media};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, LOCATION, RANGE,
        USER_AGENT, WWW_AUTHENTICATE,
    },
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::{FetchedBlob, FetchedManifest, Upstream, UpstreamError, address::Address, connect};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// How long an upstream may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Largest manifest, in bytes.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// Largest answer with a token, in bytes.
const TOKEN_MAX_BYTES: usize = 1 << 20;
/// How long a token is used, whatever it says of itself.
const TOKEN_LIFE: Duration = Duration::from_secs(50);

/// A registry that is reached over HTTP.
pub struct HttpUpstream {
    base: Address,
    /// `user:password`.
    credentials: Option<String>,
    tokens: Mutex<HashMap<String, (String, Instant)>>,
}

impl std::fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpUpstream").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl HttpUpstream {
    /// The registry at a URL such as `https://registry.example`.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn new(url: &str, user: Option<(&str, &str)>) -> Result<Self, UpstreamError> {
        let base = Address::parse(url).ok_or_else(|| UpstreamError::Address(url.to_owned()))?;
        let credentials = user.map(|(name, password)| format!("{name}:{password}"));
        Ok(Self { base, credentials, tokens: Mutex::default() })
    }

    async fn ask(
        &self,
        method: &Method,
        repository: &str,
        rest: &str,
        headers: &[(hyper::header::HeaderName, String)],
    ) -> Result<(Response<Incoming>, String), UpstreamError> {
        let prefix = self.base.target.trim_end_matches('/');
        let address = self.base.at(&format!("{prefix}/v2/{repository}/{rest}"));
        let known = self.known_token(repository);
        let answer = self.follow(method, &address, known.as_deref(), headers).await?;
        if answer.0.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let text = answer.0.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some(authorization) = self.authorize(text.unwrap_or_default(), repository).await?
        else {
            return Ok(answer);
        };
        self.follow(method, &address, Some(&authorization), headers).await
    }

    /// Follows redirects; credentials are for the first server alone.
    async fn follow(
        &self,
        method: &Method,
        first: &Address,
        authorization: Option<&str>,
        headers: &[(hyper::header::HeaderName, String)],
    ) -> Result<(Response<Incoming>, String), UpstreamError> {
        let mut address = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let own = authorization.filter(|_| address.same_server(first));
            let answer = send(method, &address, own, headers).await?;
            if !answer.status().is_redirection() {
                return Ok((answer, address.to_string()));
            }
            let next = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next.and_then(|next| address.join(next));
            let what = "it redirects to no address";
            let next = next.ok_or(UpstreamError::Answer { url: address.to_string(), what })?;
            // Nobody between is to change what came over TLS.
            if first.tls && !next.tls {
                let what = "it redirects away from TLS";
                return Err(UpstreamError::Answer { url: address.to_string(), what });
            }
            address = next;
        }
        Err(UpstreamError::Answer { url: first.to_string(), what: "redirects without end" })
    }

    fn known_token(&self, repository: &str) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, at) = tokens.get(repository)?;
        (at.elapsed() < TOKEN_LIFE).then(|| token.clone())
    }

    /// The value of `Authorization` that a challenge asks for.
    async fn authorize(
        &self,
        challenge: &str,
        repository: &str,
    ) -> Result<Option<String>, UpstreamError> {
        let basic =
            self.credentials.as_ref().map(|both| format!("Basic {}", STANDARD.encode(both)));
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        let value = if scheme.eq_ignore_ascii_case("basic") {
            basic
        } else if scheme.eq_ignore_ascii_case("bearer") {
            self.token(rest, repository, basic.as_deref()).await?
        } else {
            None
        };
        if let Some(value) = &value {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.retain(|_, (_, at)| at.elapsed() < TOKEN_LIFE);
            tokens.insert(repository.to_owned(), (value.clone(), Instant::now()));
        }
        Ok(value)
    }

    async fn token(
        &self,
        challenge: &str,
        repository: &str,
        basic: Option<&str>,
    ) -> Result<Option<String>, UpstreamError> {
        let Some(realm) = parameter(challenge, "realm") else { return Ok(None) };
        let service = parameter(challenge, "service").unwrap_or_default();
        let encode = |text: &str| -> String { byte_serialize(text.as_bytes()).collect() };
        let scope = encode(&format!("repository:{repository}:pull"));
        let joint = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{joint}service={}&scope={scope}", encode(&service));
        let address = Address::parse(&url).ok_or(UpstreamError::Address(url))?;
        // A password is for its own server, or for one that it names over TLS and that has TLS.
        let trusted = address.host == self.base.host || (self.base.tls && address.tls);
        let answer = send(&Method::GET, &address, basic.filter(|_| trusted), &[]).await?;
        let url = address.at("/").to_string();
        if answer.status() != StatusCode::OK {
            return Err(UpstreamError::Status { url, status: answer.status().as_u16() });
        }
        let what = "its token cannot be read";
        let body = Limited::new(answer.into_body(), TOKEN_MAX_BYTES).collect().await;
        let body = body.map_err(|_| UpstreamError::Answer { url: url.clone(), what })?.to_bytes();
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| UpstreamError::Answer { url, what })?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        Ok(Some(format!("Bearer {token}")))
    }
}

impl Upstream for HttpUpstream {
    fn manifest<'a>(
        &'a self,
        repository: &'a str,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<FetchedManifest>, UpstreamError>> {
        Box::pin(async move {
            let rest = format!("manifests/{reference}");
            let (answer, url) = self.ask(&Method::GET, repository, &rest, &accepted()).await?;
            if !is_there(&answer, &url)? {
                return Ok(None);
            }
            let media_type = text(&answer, CONTENT_TYPE).unwrap_or_default().to_owned();
            let body = Limited::new(answer.into_body(), MANIFEST_MAX_BYTES).collect();
            let body = tokio::time::timeout(SILENCE_MAX, body).await;
            let body = body.map_err(|_| silent(&url))?.map_err(|_| UpstreamError::Answer {
                url,
                what: "its manifest is too large, or ends early",
            })?;
            Ok(Some(FetchedManifest { media_type, body: body.to_bytes() }))
        })
    }

    fn resolve<'a>(
        &'a self,
        repository: &'a str,
        tag: &'a str,
    ) -> BoxFuture<'a, Result<Option<Digest>, UpstreamError>> {
        Box::pin(async move {
            let rest = format!("manifests/{tag}");
            let (answer, url) = self.ask(&Method::HEAD, repository, &rest, &accepted()).await?;
            if !is_there(&answer, &url)? {
                return Ok(None);
            }
            let name = hyper::header::HeaderName::from_static("docker-content-digest");
            let digest = text(&answer, name).and_then(|text| text.parse().ok());
            digest.map(Some).ok_or(UpstreamError::Answer { url, what: "it tells no digest" })
        })
    }

    fn blob<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        offset_bytes: u64,
    ) -> BoxFuture<'a, Result<Option<FetchedBlob>, UpstreamError>> {
        Box::pin(async move {
            let range = (offset_bytes > 0).then(|| (RANGE, format!("bytes={offset_bytes}-")));
            let headers: Vec<_> = range.into_iter().collect();
            let rest = format!("blobs/{digest}");
            let (answer, url) = self.ask(&Method::GET, repository, &rest, &headers).await?;
            if !is_there(&answer, &url)? {
                return Ok(None);
            }
            let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
            let size = match partial {
                true => text(&answer, CONTENT_RANGE)
                    .and_then(|text| text.rsplit_once('/'))
                    .map(|both| both.1),
                false => text(&answer, CONTENT_LENGTH),
            };
            let size = size.and_then(|text| text.parse().ok());
            let size_bytes = size.ok_or(UpstreamError::Answer { url, what: "it tells no size" })?;
            let skip = if partial { 0 } else { offset_bytes };
            let pieces = pieces(answer.into_body(), skip).boxed();
            Ok(Some(FetchedBlob { size_bytes, pieces }))
        })
    }
}

/// The bytes of a body but for its first `skip`.
fn pieces(body: Incoming, skip: u64) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((body, skip), |(mut body, mut skip)| async move {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(mut data) = frame.map_err(io::Error::other)?.into_data() else { continue };
            let cut = usize::try_from(skip).unwrap_or(usize::MAX).min(data.len());
            skip -= cut as u64;
            let data = data.split_off(cut);
            if !data.is_empty() {
                return Ok(Some((data, (body, skip))));
            }
        }
    })
}

async fn send(
    method: &Method,
    address: &Address,
    authorization: Option<&str>,
    headers: &[(hyper::header::HeaderName, String)],
) -> Result<Response<Incoming>, UpstreamError> {
    let url = address.to_string();
    let stream = connect::open(address)
        .await
        .map_err(|source| UpstreamError::Io { url: url.clone(), source })?;
    let protocol = |source| UpstreamError::Protocol { url: url.clone(), source };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(protocol)?;
    // It ends with the answer's body, or when that is dropped.
    tokio::spawn(async move { drop(connection.await) });
    let mut request = Request::builder()
        .method(method)
        .uri(&address.target)
        .header(HOST, address.place())
        .header(USER_AGENT, concat!("gantry/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|_| UpstreamError::Address(url.clone()))?;
    let answer = tokio::time::timeout(SILENCE_MAX, sender.send_request(request)).await;
    answer.map_err(|_| silent(&url))?.map_err(protocol)
}

fn accepted() -> Vec<(hyper::header::HeaderName, String)> {
    let types = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_INDEX];
    vec![(ACCEPT, types.join(", "))]
}

/// Whether an answer brings what was asked for; other registries answer 401 for what is not there.
fn is_there(answer: &Response<Incoming>, url: &str) -> Result<bool, UpstreamError> {
    match answer.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        status => Err(UpstreamError::Status { url: url.to_owned(), status: status.as_u16() }),
    }
}

fn silent(url: &str) -> UpstreamError {
    UpstreamError::Io { url: url.to_owned(), source: io::ErrorKind::TimedOut.into() }
}

fn text(answer: &Response<Incoming>, name: hyper::header::HeaderName) -> Option<&str> {
    answer.headers().get(name)?.to_str().ok()
}

/// A parameter of a challenge: `name="value"`.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let key = key.trim_matches([' ', ',']);
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text = "realm=\"https://auth.example/token\",service=plain, scope=\"a:b:pull,push\"";
        for (name, want) in [
            ("realm", Some("https://auth.example/token")),
            ("service", Some("plain")),
            ("Scope", Some("a:b:pull,push")),
            ("error", None),
        ] {
            assert_eq!(parameter(text, name).as_deref(), want, "{name}");
        }
    }
}
