//! What can go wrong on the way to the daemon and back.

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon answered with an error.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
    /// Nobody listens at the host.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Unreachable {
        /// The host as the user named it.
        host: String,
        /// What connecting said.
        source: std::io::Error,
    },
    /// The socket is there but closed to this user.
    #[error("permission denied while trying to connect to the docker API at {host}")]
    Permission {
        /// The host as the user named it.
        host: String,
    },
    /// The host is not of a form that can be reached.
    #[error("{0}")]
    Host(String),
    /// Certificates could not be read, or the TLS handshake failed.
    #[error("{0}")]
    Tls(String),
    /// The connection broke, or did not speak HTTP.
    #[error("error during connect: {0}")]
    Transport(String),
    /// The answer is not what the API says.
    #[error("error reading the daemon's answer: {0}")]
    Answer(String),
    /// Reading or writing a stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClientError {
    /// The HTTP status, if the daemon answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Daemon { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the daemon says that the named thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether nobody listens at the host.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Takes the words out of an error body: JSON since API 1.24, plain text before.
pub(crate) fn from_body(status: u16, reason: &str, body: &[u8]) -> ClientError {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|body| body.get("message").and_then(|m| m.as_str()).map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    let message = if message.is_empty() {
        format!("request returned {reason} for API route and version")
    } else {
        message
    };
    ClientError::Daemon { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_either_body() {
        for (body, want) in [
            (&b"{\"message\":\"No such container: x\"}"[..], "No such container: x"),
            (b"page not found\n", "page not found"),
            (b"", "request returned Not Found for API route and version"),
        ] {
            let error = from_body(404, "Not Found", body);
            assert_eq!(error.to_string(), format!("Error response from daemon: {want}"));
            assert!(error.is_not_found());
        }
    }
}
