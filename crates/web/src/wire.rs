//! Requests over pooled connections.

use std::{sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderValue, PROXY_AUTHORIZATION, USER_AGENT},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    address::Address,
    body::{Payload, Pieces, Sending, Watch},
    connect::Connector,
    fail::WireError,
    proxy, tls,
};
use crate::{Proxies, TlsError, Trust};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How long a server is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long it may take to be reached.
    pub connect: Duration,
    /// How long it may take to begin its answer.
    pub answer: Duration,
    /// How long it may be silent within an answer.
    pub stall: Duration,
}

/// Connections to servers that are trusted alike.
#[derive(Clone)]
pub struct Wire {
    client: Client<Connector, Sending>,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
    waits: Waits,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("waits", &self.waits).finish_non_exhaustive()
    }
}

/// A request.
#[derive(Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// What is asked for.
    pub address: Address,
    /// Headers beside those of the connection.
    pub headers: HeaderMap,
    /// The content.
    pub payload: Payload,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Who answered; not who was asked, after redirects.
    pub address: Address,
    /// The content, as it comes.
    pub pieces: Pieces,
}

impl Wire {
    /// Connections by these proxies; none is opened yet.
    ///
    /// # Errors
    /// When what is trusted cannot be used.
    pub fn new(
        trust: &Trust,
        proxies: &Arc<Proxies>,
        waits: Waits,
        user_agent: &HeaderValue,
    ) -> Result<Self, TlsError> {
        let tls = tls::config(trust)?;
        let connector = Connector { tls, proxies: Arc::clone(proxies), timeout: waits.connect };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let (proxies, user_agent) = (Arc::clone(proxies), user_agent.clone());
        Ok(Self { client, proxies, user_agent, waits })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`WireError`]; an answer of any status is none.
    pub async fn send(&self, ask: Ask) -> Result<Reply, WireError> {
        let Ask { method, address, headers, payload } = ask;
        tracing::debug!(%method, %address, "asking");
        let (sending, watch) = payload.watched();
        let mut request = Request::new(sending);
        *request.method_mut() = method;
        *request.uri_mut() =
            address.whole().parse().map_err(|error| WireError::Protocol(format!("{error}")))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, self.user_agent.clone());
        self.greet_proxy(&address, request.headers_mut())?;
        let response = self.wait(self.client.request(request), &watch).await?;
        let (head, body) = response.into_parts();
        tracing::debug!(status = head.status.as_u16(), %address, "answered");
        let pieces = Pieces::new(body, self.waits.stall);
        Ok(Reply { status: head.status, headers: head.headers, address, pieces })
    }

    /// Without TLS it is the proxy that is spoken to.
    fn greet_proxy(&self, address: &Address, headers: &mut HeaderMap) -> Result<(), WireError> {
        if address.tls {
            return Ok(());
        }
        let proxy = proxy::on_the_way(&self.proxies, address).map_err(WireError::Proxy)?;
        let Some(credentials) = proxy.and_then(|proxy| proxy.credentials) else { return Ok(()) };
        let mut value = HeaderValue::from_str(credentials.expose())
            .map_err(|_| WireError::Proxy("credentials cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(PROXY_AUTHORIZATION, value);
        Ok(())
    }

    /// Waits as long as data moves, and then for the answer.
    async fn wait(
        &self,
        request: hyper_util::client::legacy::ResponseFuture,
        watch: &Watch,
    ) -> Result<Response<Incoming>, WireError> {
        let mut request = std::pin::pin!(request);
        let mut sent = watch.sent();
        loop {
            match tokio::time::timeout(self.waits.answer, &mut request).await {
                Ok(answered) => return answered.map_err(|error| WireError::of(&error)),
                Err(_) if watch.waits() || watch.sent() != sent => sent = watch.sent(),
                Err(_) => return Err(WireError::Silent(self.waits.answer.as_secs())),
            }
        }
    }
}
