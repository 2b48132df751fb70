//! Files behind URLs: `GET` with redirects, through the proxies that the daemon's environment names.

mod address;
mod connect;
mod proxy;

use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{
        AUTHORIZATION, ETAG, HOST, HeaderName, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
    },
};
use jiff::fmt::rfc2822::DateTimeParser;

use self::address::Address;
use crate::{Bytes, ClientError};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// How long a server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a server answered.
pub(crate) struct Answer {
    /// Its content; none if it is the one that was known.
    pub body: Option<Bytes>,
    /// Its tag; empty if it has none.
    pub etag: String,
    /// When it was changed, s since 1970.
    pub modified_s: Option<i64>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// It is no URL that can be fetched.
    #[error("{0:?} is no http or https URL")]
    Address(String),
    /// The server cannot be reached.
    #[error("fetching {url}")]
    Connect {
        /// What was fetched, without a password.
        url: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server does not speak HTTP.
    #[error("fetching {url}")]
    Protocol {
        /// What was fetched.
        url: String,
        /// What is wrong.
        #[source]
        source: hyper::Error,
    },
    /// The server was silent for too long.
    #[error("fetching {0}: timeout awaiting response")]
    Silence(String),
    /// It has no such file, or does not give it.
    #[error("{url}: invalid response status {status}")]
    Status {
        /// What was fetched.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// One redirect leads to the next.
    #[error("{0}: stopped after 10 redirects")]
    Redirects(String),
}

/// Fetches a file, unless it still is the one with this tag.
pub(crate) async fn get(url: &str, known_etag: &str) -> Result<Answer, WebError> {
    let mut address = Address::parse(url).ok_or_else(|| WebError::Address(url.to_owned()))?;
    let mut credentials = address.credentials.clone();
    for _ in 0..=REDIRECTS_MAX {
        let answer = ask(&address, credentials.as_deref(), known_etag).await?;
        let status = answer.status();
        if status == StatusCode::NOT_MODIFIED && !known_etag.is_empty() {
            return Ok(of(&answer, None));
        }
        if status.is_redirection()
            && let Some(next) = text(&answer, &LOCATION)
        {
            let next = address.join(&next).ok_or(WebError::Address(next))?;
            // What was given for one server is not for another.
            if next.host != address.host || next.port != address.port || next.tls != address.tls {
                credentials.clone_from(&next.credentials);
            }
            address = next;
            continue;
        }
        if status != StatusCode::OK {
            return Err(WebError::Status { url: address.to_string(), status: status.as_u16() });
        }
        let empty = of(&answer, None);
        return Ok(Answer { body: Some(pieces(answer, address.to_string())), ..empty });
    }
    Err(WebError::Redirects(address.to_string()))
}

async fn ask(
    address: &Address,
    credentials: Option<&str>,
    known_etag: &str,
) -> Result<Response<Incoming>, WebError> {
    let url = address.to_string();
    let way = connect::open(address)
        .await
        .map_err(|source| WebError::Connect { url: url.clone(), source })?;
    let protocol = |source| WebError::Protocol { url: url.clone(), source };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(way.stream).await.map_err(protocol)?;
    // It ends with the answer's body, or when that is dropped.
    tokio::spawn(async move { drop(connection.await) });
    let target = if way.absolute { url.clone() } else { address.target.clone() };
    let mut request = Request::get(target)
        .header(HOST, address.host_header())
        .header(USER_AGENT, concat!("gantry/", env!("CARGO_PKG_VERSION")));
    if let Some(credentials) = credentials {
        request = request.header(AUTHORIZATION, credentials);
    }
    if let Some(credentials) = way.proxy_credentials {
        request = request.header(hyper::header::PROXY_AUTHORIZATION, credentials);
    }
    if !known_etag.is_empty() {
        request = request.header(IF_NONE_MATCH, known_etag);
    }
    let request =
        request.body(Empty::<Piece>::new()).map_err(|_| WebError::Address(url.clone()))?;
    match tokio::time::timeout(SILENCE_MAX, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(protocol),
        Err(_) => Err(WebError::Silence(url.clone())),
    }
}

fn of(answer: &Response<Incoming>, body: Option<Bytes>) -> Answer {
    let modified = text(answer, &LAST_MODIFIED).and_then(|date| {
        DateTimeParser::new().parse_timestamp(&date).ok().map(jiff::Timestamp::as_second)
    });
    Answer { body, etag: text(answer, &ETAG).unwrap_or_default(), modified_s: modified }
}

fn text(answer: &Response<Incoming>, name: &HeaderName) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

/// The content, as it comes; a server that falls silent is an error.
fn pieces(answer: Response<Incoming>, url: String) -> Bytes {
    let body = answer.into_body();
    stream::unfold(Some((body, url)), |state| async {
        let (mut body, url) = state?;
        loop {
            let failed = |why: String| Some((Err(ClientError::Refused(why)), None));
            match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
                Err(_) => return failed(WebError::Silence(url).to_string()),
                Ok(None) => return None,
                Ok(Some(Err(source))) => {
                    return failed(gantry_fault::chain(&WebError::Protocol { url, source }));
                }
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing of the content.
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data.to_vec()), Some((body, url))));
                    }
                }
            }
        }
    })
    .boxed()
}
