//! Why a request has no answer, in the words of Go's `net` and `crypto/tls` that users know.

use std::{error::Error, io};

use rustls::{CertificateError, InvalidMessage};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The host's name is not known, or nobody could be asked for it.
    #[error("dial tcp: lookup {host}: {why}")]
    Lookup {
        /// The name.
        host: String,
        /// `no such host`, ….
        why: &'static str,
    },
    /// The host cannot be reached.
    #[error("dial tcp {place}: {why}")]
    Dial {
        /// Address and port.
        place: String,
        /// `connect: connection refused`, ….
        why: String,
    },
    /// The server has no TLS.
    #[error("http: server gave HTTP response to HTTPS client")]
    NoTls,
    /// The server's certificate is not right.
    #[error("tls: failed to verify certificate: x509: {0}")]
    Certificate(String),
    /// TLS failed otherwise.
    #[error("tls: {0}")]
    Tls(String),
    /// The proxy refused or cannot be used.
    #[error("proxyconnect: {0}")]
    Proxy(String),
    /// The connection ended too early, or broke.
    #[error("{0}")]
    Broken(String),
    /// The server began no answer in time.
    #[error("no answer within {0} s")]
    Silent(u64),
    /// The server fell silent within its answer.
    #[error("no data within {0} s")]
    Stalled(u64),
    /// The server's answer is no HTTP, or our request could not be one.
    #[error("malformed HTTP: {0}")]
    Protocol(String),
    /// One redirect leads to the next.
    #[error("stopped after {0} redirects")]
    Redirects(usize),
    /// A redirect that leads to where no registry may be.
    #[error("redirect to {to}: {why}")]
    Redirect {
        /// Where to, without secrets.
        to: String,
        /// What is wrong with that.
        why: &'static str,
    },
    /// What was sent could not be read.
    #[error("reading what is sent")]
    Payload(#[source] io::Error),
}

impl WireError {
    /// Whether the same request may do better soon.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Stalled(_))
    }

    /// Whether a server that may do without TLS is to be asked without.
    #[must_use]
    pub fn suggests_plain(&self) -> bool {
        matches!(self, Self::NoTls | Self::Tls(_) | Self::Broken(_) | Self::Dial { .. })
    }

    /// Of a look-up of a name.
    pub(super) fn lookup(host: &str, error: &io::Error) -> Self {
        // The library has no kind for it, only the words of the C library.
        let later = error.to_string().contains("Temporary failure");
        let why = if later { "server misbehaving" } else { "no such host" };
        Self::Lookup { host: host.to_owned(), why }
    }

    /// Of a connection.
    pub(super) fn dial(place: String, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => format!("connect: {error}"),
        };
        Self::Dial { place, why }
    }

    /// Of a handshake.
    pub(super) fn handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(why)) => Self::Certificate(certificate(why)),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::NoTls,
            Some(other) => Self::Tls(other.to_string()),
            None => Self::Broken(format!("TLS handshake: {}", ending(error))),
        }
    }

    /// Of whatever a library says, in which one of ours may be hidden.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(own) = inner.downcast_ref::<Carried>() {
                return own.take();
            }
            if let Some(hyper) = inner.downcast_ref::<hyper::Error>() {
                return Self::of_hyper(hyper);
            }
            cause = inner.source();
        }
        Self::Broken(error.to_string())
    }

    fn of_hyper(error: &hyper::Error) -> Self {
        let inner = error.source();
        if let Some(carried) = inner.and_then(|inner| inner.downcast_ref::<Carried>()) {
            return carried.take();
        }
        if error.is_parse() {
            return Self::Protocol(error.to_string());
        }
        match inner.and_then(|inner| inner.downcast_ref::<io::Error>()) {
            Some(io) => Self::Broken(ending(io)),
            None if error.is_incomplete_message() => Self::Broken("unexpected EOF".to_owned()),
            None => Self::Broken(error.to_string()),
        }
    }
}

fn ending(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        _ => error.to_string(),
    }
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        // An authority of that name is known, with another key.
        CertificateError::BadSignature => {
            "certificate signed by unknown authority: signature does not fit".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // `DnsName("a.example")`: the text between the quotes is what is meant.
            let plain = |text: &String| text.split('"').nth(1).unwrap_or(text).to_owned();
            let names: Vec<String> = presented.iter().map(plain).collect();
            format!("certificate is valid for {}, not {}", names.join(", "), expected.to_str())
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            format!("certificate has expired or is not yet valid: {why}")
        }
        other => other.to_string(),
    }
}

/// Carries an error of ours through a library that knows only the trait.
#[derive(Debug)]
pub(super) struct Carried(std::sync::Mutex<Option<WireError>>, String);

impl Carried {
    pub(super) fn new(error: WireError) -> Self {
        let text = error.to_string();
        Self(std::sync::Mutex::new(Some(error)), text)
    }

    fn take(&self) -> WireError {
        let mut place = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        place.take().unwrap_or_else(|| WireError::Broken(self.1.clone()))
    }
}

impl std::fmt::Display for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl Error for Carried {}
