//! Tokens: made by a server that the registry names, kept until they expire.
//!
//! Sources: Docker's "Token authentication specification" (`GET`) and "OAuth2 token
//! authentication" (`POST`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_web::{Address, Ask, Payload, Reply, Wire, verb};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;

use super::{challenge::Bearer, scope::Scopes};
use crate::{Credentials, DistributionError, Secret, answer::Answer};

/// The shortest life of a token, also if a server says less.
const LIFE_MIN: Duration = Duration::from_secs(60);
/// What a server is told of who asks.
const CLIENT_ID: &str = "gantry";

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// For `Authorization: Bearer`.
    pub text: Secret,
    /// Until when it is used.
    pub until: Instant,
    /// What more of them can be got with.
    pub refresh: Option<Secret>,
}

impl Token {
    pub(crate) fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

#[derive(Deserialize)]
struct Made {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// A request for a token.
pub(crate) struct Order<'a> {
    pub bearer: &'a Bearer,
    pub realm: Address,
    pub scopes: &'a Scopes,
    pub credentials: &'a Credentials,
    /// Ask for something to keep instead of the password.
    pub offline: bool,
    pub limit_bytes: u64,
}

impl Order<'_> {
    /// Gets the token.
    pub(crate) async fn get(self, wire: &Wire) -> Result<Token, DistributionError> {
        let ask = match self.credentials {
            Credentials::Identity { token, .. } => self.post(token),
            _ => self.query()?,
        };
        let (verb, url) = (verb(&ask.method), ask.address.to_string());
        let asked = Instant::now();
        let reply = wire.send(ask).await;
        let reply = reply.map_err(|source| DistributionError::Request {
            verb,
            url: url.clone(),
            source,
        })?;
        let (status, headers) = (reply.status, reply.headers.clone());
        let body = body(reply, verb, &url, self.limit_bytes).await?;
        if status != StatusCode::OK {
            return Err(Answer::read(verb, url, status, &headers, &body).into());
        }
        let wrong = |why: &str| DistributionError::BadAnswer {
            verb,
            url: url.clone(),
            why: why.to_owned(),
        };
        let made: Made = serde_json::from_slice(&body).map_err(|_| wrong("it is no token"))?;
        let text = if made.token.is_empty() { made.access_token } else { made.token };
        if text.is_empty() {
            return Err(wrong("authorization server did not include a token in the response"));
        }
        let life = Duration::from_secs(made.expires_in.unwrap_or(0)).max(LIFE_MIN);
        let refresh = (!made.refresh_token.is_empty()).then(|| Secret::new(made.refresh_token));
        // Not to the last moment: the request has its way to go, and clocks differ.
        let until = asked + life.mul_f32(0.9).min(Duration::from_secs(24 * 60 * 60));
        Ok(Token { text: Secret::new(text), until, refresh })
    }

    fn query(&self) -> Result<Ask, DistributionError> {
        let mut address = self.realm.clone();
        if !self.bearer.service.is_empty() {
            address = address.with_query("service", &self.bearer.service);
        }
        for scope in self.scopes.texts() {
            address = address.with_query("scope", &scope);
        }
        if self.offline {
            address = address.with_query("offline_token", "true");
        }
        address = address.with_query("client_id", CLIENT_ID);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Credentials::Basic { username, .. } = self.credentials {
            address = address.with_query("account", username);
            let basic = self.credentials.basic().unwrap_or_default();
            headers.insert(AUTHORIZATION, sensitive(&basic)?);
        }
        Ok(Ask { method: Method::GET, address, headers, payload: Payload::Empty })
    }

    fn post(&self, refresh: &Secret) -> Ask {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("service", &self.bearer.service)
            .append_pair("client_id", CLIENT_ID)
            .append_pair("refresh_token", refresh.expose());
        let scopes = self.scopes.texts().join(" ");
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes);
        }
        if self.offline {
            form.append_pair("access_type", "offline");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let payload = Payload::Whole(Bytes::from(form.finish()));
        Ask { method: Method::POST, address: self.realm.clone(), headers, payload }
    }
}

async fn body(
    reply: Reply,
    verb: &'static str,
    url: &str,
    limit: u64,
) -> Result<Bytes, DistributionError> {
    match reply.pieces.all(limit).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(DistributionError::TooLarge { verb, url: url.to_owned(), limit }),
        Err(source) => Err(DistributionError::Request { verb, url: url.to_owned(), source }),
    }
}

/// The value of a header that is not to be logged.
pub(super) fn sensitive(text: &Secret) -> Result<HeaderValue, DistributionError> {
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| DistributionError::Host {
        text: "credentials".to_owned(),
        why: "they hold what cannot be sent",
    })?;
    value.set_sensitive(true);
    Ok(value)
}
