//! One server, spoken to for one asker: credentials, redirects, refusals.

use std::sync::Arc;

use bytes::Bytes;
use gantry_web::{Address, Ask, Payload, Reply, Wire, WireError, verb};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, HeaderValue, LOCATION},
};

use crate::{
    Credentials, DistributionError, Limits,
    answer::{Answer, RegistryError, is_passing},
    auth::{Challenge, Scopes, read_challenge},
    client::Inner,
    hosts::{Endpoint, Scheme},
    retry::Patience,
};

const TLS_PORT: u16 = 443;
const PLAIN_PORT: u16 = 80;
/// Longest refusal that is read, bytes.
const REFUSAL_MAX: u64 = 64 << 10;

/// A server that is spoken to for one asker.
#[derive(Clone)]
pub(crate) struct Server {
    client: Arc<Inner>,
    endpoint: Arc<Endpoint>,
    wire: Wire,
    credentials: Arc<Credentials>,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: Method,
    pub address: Address,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub scopes: Scopes,
}

impl Call {
    pub(crate) fn new(method: Method, address: Address, scopes: &Scopes) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method, address, headers, body, scopes: scopes.clone() }
    }

    /// With a header more.
    pub(crate) fn with(
        mut self,
        name: hyper::header::HeaderName,
        value: &str,
    ) -> Result<Self, DistributionError> {
        let value = HeaderValue::from_str(value).map_err(|_| DistributionError::BadAnswer {
            verb: verb(&self.method),
            url: self.address.to_string(),
            why: format!("{name} cannot be sent"),
        })?;
        self.headers.append(name, value);
        Ok(self)
    }
}

impl Server {
    pub(crate) fn new(
        client: &Arc<Inner>,
        endpoint: Endpoint,
        credentials: &Arc<Credentials>,
    ) -> Result<Self, DistributionError> {
        let wire = client.wire(&endpoint)?;
        let credentials = if endpoint.is_own { Arc::clone(credentials) } else { Arc::default() };
        Ok(Self { client: Arc::clone(client), endpoint: Arc::new(endpoint), wire, credentials })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.client.limits
    }

    /// What it shares with all servers.
    pub(crate) fn shared(&self) -> Arc<Inner> {
        Arc::clone(&self.client)
    }

    /// What is known of the asker that this server may know.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The connections to it.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Whether its certificate is checked, if it has one.
    pub(crate) fn is_verified(&self) -> bool {
        !self.endpoint.trust.skip_verify
    }

    /// The way to another server that this one sends to.
    pub(crate) fn wire_to(&self, address: &Address) -> Result<Wire, DistributionError> {
        if self.is_verified() || address.host == self.endpoint.address.host {
            return Ok(self.wire.clone());
        }
        self.client.plain_wire()
    }

    /// Its name in errors.
    pub(crate) fn name(&self) -> String {
        self.endpoint.address.authority()
    }

    /// The address of `rest` below the API's root, by TLS or not, as the server speaks.
    pub(crate) async fn address(&self, rest: &str) -> Result<Address, DistributionError> {
        let tls = self.has_tls().await?;
        Ok(self.spoken(self.endpoint.at(rest), tls))
    }

    /// An address by TLS or not.
    pub(crate) fn spoken(&self, mut address: Address, tls: bool) -> Address {
        address.tls = tls;
        if !tls && address.port == TLS_PORT {
            address.port = PLAIN_PORT;
        }
        address
    }

    /// Where an upload goes on. A server behind a proxy often does not know that it has TLS.
    pub(crate) fn location(&self, reply: &Reply) -> Result<Address, DistributionError> {
        let from = &reply.address;
        let wrong = |why: &str| DistributionError::BadAnswer {
            verb: "Post",
            url: from.to_string(),
            why: why.to_owned(),
        };
        let text = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| wrong("it tells not where the upload goes on"))?;
        let mut next =
            from.join(text).ok_or_else(|| wrong("where the upload goes on is no URL"))?;
        if from.tls && !next.tls {
            if next.host != from.host || ![PLAIN_PORT, from.port].contains(&next.port) {
                return Err(wrong("the upload goes on without TLS"));
            }
            (next.tls, next.port) = (true, from.port);
        }
        Ok(next)
    }

    /// Whether an address is this very server's: others are told no secret.
    fn is_here(&self, address: &Address) -> bool {
        let own = &self.endpoint.address;
        let either = self.endpoint.scheme == Scheme::Either;
        let port = address.port == own.port
            || either && own.port == TLS_PORT && address.port == PLAIN_PORT;
        address.host == own.host && port && (address.tls || self.endpoint.scheme != Scheme::Https)
    }

    /// Asks, and takes only success for an answer.
    pub(crate) async fn expect(&self, call: Call) -> Result<Reply, DistributionError> {
        let verb = verb(&call.method);
        let url = call.address.to_string();
        let reply = self.ask(call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(refusal(verb, url, reply).await) }
    }

    /// Asks: says who we are if that is wanted, and follows redirects.
    pub(crate) async fn ask(&self, call: Call) -> Result<Reply, DistributionError> {
        let auth = &self.client.auth;
        let mut said = self.introduction(&call.address, &call.scopes).await?;
        let mut reply = self.follow(&call, said.as_ref()).await?;
        // Twice: a token that was kept may be refused, and then what the new one allows.
        for _ in 0..2 {
            let own = reply.address.same_origin(&call.address);
            if reply.status != StatusCode::UNAUTHORIZED || !own || !self.is_here(&call.address) {
                break;
            }
            let Some(challenge) = read_challenge(&reply.headers) else { break };
            let better =
                auth.answer(self, &call.address, &challenge, &call.scopes, said.as_ref()).await?;
            match (better, challenge) {
                (Some(header), _) => said = Some(header),
                (None, Challenge::Basic) if said.is_none() => {
                    return Err(DistributionError::NoBasicCredentials {
                        verb: verb(&call.method),
                        url: call.address.to_string(),
                    });
                }
                (None, _) => break,
            }
            reply.pieces.skip().await;
            reply = self.follow(&call, said.as_ref()).await?;
        }
        Ok(reply)
    }

    /// The `Authorization` that is known to be wanted.
    async fn introduction(
        &self,
        address: &Address,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, DistributionError> {
        if !self.is_here(address) {
            return Ok(None);
        }
        self.client.auth.header(self, address, scopes).await
    }

    /// Sends what can be sent only once; `None` if it is to be sent again, since the server knows
    /// now who we are.
    pub(crate) async fn send_once(
        &self,
        mut ask: Ask,
        scopes: &Scopes,
    ) -> Result<Option<Reply>, DistributionError> {
        let address = ask.address.clone();
        let said = self.introduction(&address, scopes).await?;
        if self.is_here(&address) {
            ask.headers.extend(self.endpoint.headers.clone());
        }
        if let Some(said) = &said {
            ask.headers.insert(AUTHORIZATION, said.clone());
        }
        let reply = self.send(ask).await?;
        if reply.status != StatusCode::UNAUTHORIZED || !self.is_here(&address) {
            return Ok(Some(reply));
        }
        let Some(challenge) = read_challenge(&reply.headers) else { return Ok(Some(reply)) };
        let auth = &self.client.auth;
        let better = auth.answer(self, &address, &challenge, scopes, said.as_ref()).await?;
        Ok(if better.is_some() { None } else { Some(reply) })
    }

    /// Asks with this `Authorization`, and follows redirects, which it does not go along with.
    pub(crate) async fn follow(
        &self,
        call: &Call,
        said: Option<&HeaderValue>,
    ) -> Result<Reply, DistributionError> {
        let mut address = call.address.clone();
        let mut headers = call.headers.clone();
        if self.is_here(&address) {
            headers.extend(self.endpoint.headers.clone());
        }
        if let Some(said) = said {
            headers.insert(AUTHORIZATION, said.clone());
        }
        for _ in 0..=self.limits().redirects {
            let payload = if call.body.is_empty() {
                Payload::Empty
            } else {
                Payload::Whole(call.body.clone())
            };
            let (method, asked) = (call.method.clone(), address.clone());
            let ask = Ask { method, address: asked, headers: headers.clone(), payload };
            let reply = self.send(ask).await?;
            let Some(next) = redirect(&call.method, &reply) else { return Ok(reply) };
            let next = next.map_err(|source| failed(&call.method, &address, source))?;
            if !next.same_origin(&address) {
                headers.clone_from(&call.headers);
            }
            reply.pieces.skip().await;
            address = next;
        }
        let source = WireError::Redirects(self.limits().redirects);
        Err(failed(&call.method, &call.address, source))
    }

    /// Sends one request as it is.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Reply, DistributionError> {
        let (method, address) = (ask.method.clone(), ask.address.clone());
        self.wire.send(ask).await.map_err(|source| {
            if matches!(source, WireError::Dial { .. } | WireError::NoTls | WireError::Protocol(_))
            {
                self.client.settled.forget(&self.endpoint.address.host_port());
            }
            failed(&method, &address, source)
        })
    }

    /// Asks as often as it may help.
    pub(crate) async fn ask_patiently(&self, call: &Call) -> Result<Reply, DistributionError> {
        let mut patience = Patience::new(self.limits());
        loop {
            let error = match self.ask(call.clone()).await {
                Ok(reply) if !is_passing(reply.status) => return Ok(reply),
                Ok(reply) => refusal(verb(&call.method), call.address.to_string(), reply).await,
                Err(error) => error,
            };
            patience.again(error).await?;
        }
    }

    /// Asks for a document of at most `limit` bytes, as often as it may help.
    pub(crate) async fn document(
        &self,
        call: &Call,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), DistributionError> {
        let mut patience = Patience::new(self.limits());
        loop {
            match self.document_once(call.clone(), limit).await {
                Ok(document) => return Ok(document),
                Err(error) => patience.again(error).await?,
            }
        }
    }

    async fn document_once(
        &self,
        call: Call,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), DistributionError> {
        let (verb, url) = (verb(&call.method), call.address.to_string());
        let reply = self.expect(call).await?;
        match reply.pieces.all(limit).await {
            Ok(Some(body)) => Ok((reply.headers, body)),
            Ok(None) => Err(DistributionError::TooLarge { verb, url, limit }),
            Err(source) => Err(DistributionError::Request { verb, url, source }),
        }
    }
}

fn failed(method: &Method, address: &Address, source: WireError) -> DistributionError {
    DistributionError::Request { verb: verb(method), url: address.to_string(), source }
}

/// Where an answer sends to, if it does and may be followed.
fn redirect(method: &Method, reply: &Reply) -> Option<Result<Address, WireError>> {
    let reads = method == Method::GET || method == Method::HEAD;
    if !reads || !matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = reply.headers.get(LOCATION)?.to_str().unwrap_or_default();
    let wrong = |to: String, why| Some(Err(WireError::Redirect { to, why }));
    let Some(next) = reply.address.join(to) else {
        return wrong(
            to.chars().filter(char::is_ascii_graphic).take(200).collect(),
            "it is no URL",
        );
    };
    if reply.address.tls && !next.tls {
        return wrong(next.to_string(), "it leaves TLS");
    }
    Some(Ok(next))
}

/// What a server said that did not do what it was asked for.
pub(crate) async fn refusal(verb: &'static str, url: String, reply: Reply) -> DistributionError {
    let challenge = read_challenge(&reply.headers);
    let (status, headers) = (reply.status, reply.headers);
    // What cannot be read says nothing; the status does.
    let body = reply.pieces.all(REFUSAL_MAX).await.ok().flatten().unwrap_or_default();
    let mut answer = Answer::read(verb, url, status, &headers, &body);
    let lacking = matches!(&challenge, Some(Challenge::Bearer(wanted)) if wanted.error == "insufficient_scope");
    if status == StatusCode::UNAUTHORIZED && lacking {
        answer.errors = vec![RegistryError {
            code: "DENIED".to_owned(),
            message: "requested access to the resource is denied".to_owned(),
        }];
    }
    answer.into()
}
