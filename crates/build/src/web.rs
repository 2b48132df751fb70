//! Files behind URLs: `GET` with redirects, through the proxies that the daemon is told of.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use gantry_web::{
    Address, Ask, Payload, Proxies, Reply, Secret, TlsError, Trust, Waits, Wire, WireError,
};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        AUTHORIZATION, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    },
};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::{Bytes, ClientError};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// How long servers are waited for.
const WAITS: Waits = Waits {
    connect: Duration::from_secs(30),
    answer: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};

/// Fetches files.
#[derive(Debug)]
pub(crate) struct Web {
    proxies: Arc<Proxies>,
    /// Made when it is needed: the machine's authorities take time to read.
    wire: OnceLock<Wire>,
}

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
    /// There is no answer.
    #[error("fetching {url}")]
    Wire {
        /// What was fetched, without a password.
        url: String,
        /// Why not.
        #[source]
        source: WireError,
    },
    /// What the machine trusts cannot be used.
    #[error("certificate authorities")]
    Authorities(#[from] TlsError),
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

impl Web {
    /// One that goes by these proxies.
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self { proxies: Arc::new(proxies), wire: OnceLock::new() }
    }

    /// Fetches a file, unless it still is the one with this tag.
    pub(crate) async fn get(&self, url: &str, known_etag: &str) -> Result<Answer, WebError> {
        let parse = |text: &str| {
            Address::parse_with_user(text).ok_or_else(|| WebError::Address(text.to_owned()))
        };
        let (mut address, mut credentials) = parse(url)?;
        for _ in 0..=REDIRECTS_MAX {
            let reply = self.ask(&address, credentials.as_ref(), known_etag).await?;
            if reply.status == StatusCode::NOT_MODIFIED && !known_etag.is_empty() {
                return Ok(of(&reply.headers, None));
            }
            if reply.status.is_redirection()
                && let Some(next) = text(&reply.headers, &LOCATION)
            {
                // One that is whole may name a user of its own.
                let (next, own) = match address.join(&next) {
                    Some(next) => (next, None),
                    None => parse(&next)?,
                };
                // What was given for one server is not for another.
                if own.is_some() || !next.same_origin(&address) {
                    credentials = own;
                }
                address = next;
                continue;
            }
            if reply.status != StatusCode::OK {
                let (url, status) = (address.to_string(), reply.status.as_u16());
                return Err(WebError::Status { url, status });
            }
            let headers = reply.headers.clone();
            return Ok(of(&headers, Some(pieces(reply))));
        }
        Err(WebError::Redirects(address.to_string()))
    }

    async fn ask(
        &self,
        address: &Address,
        credentials: Option<&Secret>,
        known_etag: &str,
    ) -> Result<Reply, WebError> {
        let mut headers = HeaderMap::new();
        let credentials = credentials.map(Secret::expose);
        for (name, text) in [(AUTHORIZATION, credentials), (IF_NONE_MATCH, Some(known_etag))] {
            let text = text.filter(|text| !text.is_empty());
            // A tag that cannot be sent is as good as none.
            if let Some(Ok(value)) = text.map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
        let (address, payload) = (address.clone(), Payload::Empty);
        let url = address.to_string();
        let ask = Ask { method: Method::GET, address, headers, payload };
        self.wire()?.send(ask).await.map_err(|source| WebError::Wire { url, source })
    }

    fn wire(&self) -> Result<&Wire, TlsError> {
        if let Some(wire) = self.wire.get() {
            return Ok(wire);
        }
        let agent = HeaderValue::from_static(concat!("gantry/", env!("CARGO_PKG_VERSION")));
        let wire = Wire::new(&Trust::system(false), &self.proxies, WAITS, &agent)?;
        Ok(self.wire.get_or_init(|| wire))
    }
}

fn of(headers: &HeaderMap, body: Option<Bytes>) -> Answer {
    let modified = text(headers, &LAST_MODIFIED).and_then(|date| {
        DateTimeParser::new().parse_timestamp(&date).ok().map(jiff::Timestamp::as_second)
    });
    Answer { body, etag: text(headers, &ETAG).unwrap_or_default(), modified_s: modified }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The content, as it comes; a server that falls silent is an error.
fn pieces(reply: Reply) -> Bytes {
    stream::unfold(Some(reply), |reply| async {
        let mut reply = reply?;
        match reply.pieces.next().await {
            Ok(None) => None,
            Ok(Some(data)) => Some((Ok(data.to_vec()), Some(reply))),
            Err(source) => {
                let error = WebError::Wire { url: reply.address.to_string(), source };
                Some((Err(ClientError::Refused(gantry_fault::chain(&error))), None))
            }
        }
    })
    .boxed()
}
