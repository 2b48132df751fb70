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
use crate::{DistributionError, Limits, Proxies, hosts::Trust};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Connections to servers that are trusted alike.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client<Connector, Sending>,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
    answer: Duration,
    stall: Duration,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Ask {
    pub method: Method,
    pub address: Address,
    pub headers: HeaderMap,
    pub payload: Payload,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Who answered; not who was asked, after redirects.
    pub address: Address,
    pub pieces: Pieces,
}

impl Wire {
    pub(crate) fn new(
        trust: &Trust,
        connect: Duration,
        proxies: &Arc<Proxies>,
        limits: &Limits,
        user_agent: &HeaderValue,
    ) -> Result<Self, DistributionError> {
        let tls = tls::config(trust)?;
        let connector = Connector { tls, proxies: Arc::clone(proxies), timeout: connect };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            client,
            proxies: Arc::clone(proxies),
            user_agent: user_agent.clone(),
            answer: limits.answer,
            stall: limits.stall,
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Reply, WireError> {
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
        let pieces = Pieces::new(body, self.stall);
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
            match tokio::time::timeout(self.answer, &mut request).await {
                Ok(answered) => return answered.map_err(|error| WireError::of(&error)),
                Err(_) if watch.waits() || watch.sent() != sent => sent = watch.sent(),
                Err(_) => return Err(WireError::Silent(self.answer.as_secs())),
            }
        }
    }
}
