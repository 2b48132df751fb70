//! The first word to a server: whether it is there, speaks TLS, and wants to know who asks.
//!
//! `GET /v2/`, as Docker does before all else; what came of it holds for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gantry_web::{Address, Ask, Payload, WireError};
use hyper::Method;

use crate::{
    DistributionError,
    auth::{Scopes, read_challenge},
    hosts::Scheme,
    retry::Patience,
    server::Server,
};

/// How long it is believed that a server has TLS, or has none.
const SETTLED: Duration = Duration::from_secs(60);

/// Which servers have TLS, and when that was found out.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<HashMap<String, (bool, Instant)>>);

impl Settled {
    fn get(&self, place: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(place).filter(|(_, since)| since.elapsed() < SETTLED).map(|(tls, _)| *tls)
    }

    fn set(&self, place: &str, tls: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, since)| since.elapsed() < SETTLED);
        known.insert(place.to_owned(), (tls, Instant::now()));
    }

    /// The server is not as it was.
    pub(crate) fn forget(&self, place: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

impl Server {
    /// Whether the server has TLS; it is greeted, if it was not.
    pub(crate) async fn has_tls(&self) -> Result<bool, DistributionError> {
        let scheme = self.endpoint().scheme;
        if !self.endpoint().greets && scheme != Scheme::Either {
            return Ok(scheme == Scheme::Https);
        }
        let (client, place) = (self.shared(), self.endpoint().address.host_port());
        if let Some(tls) = client.settled.get(&place) {
            return Ok(tls);
        }
        let mut patience = Patience::new(self.limits());
        let tls = loop {
            match self.try_tls(scheme).await {
                Ok(tls) => break tls,
                Err(error) => patience.again(error).await?,
            }
        };
        client.settled.set(&place, tls);
        Ok(tls)
    }

    async fn try_tls(&self, scheme: Scheme) -> Result<bool, DistributionError> {
        let first = scheme != Scheme::Http;
        match self.greet(first).await {
            Ok(()) => Ok(first),
            Err((_, why)) if scheme == Scheme::Either && why.suggests_plain() => {
                tracing::debug!(host = self.name(), %why, "no TLS");
                self.greet(false).await.map(|()| false).map_err(unanswered)
            }
            Err(failed) => Err(unanswered(failed)),
        }
    }

    async fn greet(&self, tls: bool) -> Result<(), (Address, WireError)> {
        let address = self.spoken(self.endpoint().at("/"), tls);
        let headers = self.endpoint().headers.clone();
        let (method, payload) = (Method::GET, Payload::Empty);
        let ask = Ask { method, address: address.clone(), headers, payload };
        let reply = self.wire().send(ask).await.map_err(|why| (address.clone(), why))?;
        if reply.status.as_u16() == 401
            && let Some(challenge) = read_challenge(&reply.headers)
        {
            self.shared().auth.learn(&address, &Scopes::default(), &challenge);
        }
        reply.pieces.skip().await;
        Ok(())
    }
}

fn unanswered((address, source): (Address, WireError)) -> DistributionError {
    DistributionError::Request { verb: "Get", url: address.to_string(), source }
}
