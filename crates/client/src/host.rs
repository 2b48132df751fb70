//! Where the daemon is.

use std::path::PathBuf;

use crate::ClientError;

/// A parsed `DOCKER_HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`.
    Tcp {
        /// Name or address, an IPv6 one without brackets.
        name: String,
        /// Port.
        port: u16,
        /// What stands before the API's paths, such as a proxy's prefix; no slash at the end.
        base: String,
    },
    /// `ssh://[user@]host[:port][/socket]`.
    Ssh {
        /// Arguments for `ssh`, up to and with the host.
        arguments: Vec<String>,
        /// Socket on the other side, if it is not the default one.
        socket: Option<String>,
    },
}

/// Port of an unencrypted API.
const PORT: u16 = 2375;
/// Port of an API with TLS.
const TLS_PORT: u16 = 2376;

impl Host {
    /// Parses a host; without a scheme it is TCP.
    ///
    /// # Errors
    /// [`ClientError::Host`] with Docker's words for another scheme or an unusable address.
    pub fn parse(text: &str, tls: bool) -> Result<Self, ClientError> {
        let invalid = || ClientError::Host(format!("invalid bind address format: {text}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::Unix("/var/run/docker.sock".into())),
            "unix" if rest.contains("://") => Err(invalid()),
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" | "http" | "https" => {
                let default = if tls || scheme == "https" { TLS_PORT } else { PORT };
                let (address, base) = match rest.split_once('/') {
                    Some((address, base)) => (address, format!("/{base}")),
                    None => (rest, String::new()),
                };
                let (name, port) = address_of(address, default).ok_or_else(invalid)?;
                Ok(Self::Tcp { name, port, base: base.trim_end_matches('/').to_owned() })
            }
            "ssh" => ssh(rest).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }
}

fn address_of(text: &str, default: u16) -> Option<(String, u16)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, tail) = rest.split_once(']')?;
            (name, tail.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => default,
    };
    let name = if name.is_empty() { "127.0.0.1" } else { name };
    Some((name.to_owned(), port))
}

/// A host or user that begins with `-` would be an option to `ssh`, so it is refused.
fn ssh(rest: &str) -> Option<Host> {
    let (authority, socket) = match rest.split_once('/') {
        Some((authority, path)) if !path.is_empty() => (authority, Some(format!("/{path}"))),
        Some((authority, _)) => (authority, None),
        None => (rest, None),
    };
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let (name, port) = match address.rsplit_once(':') {
        Some((name, port)) if !address.ends_with(']') => (name, Some(port.parse::<u16>().ok()?)),
        _ => (address, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || name.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
        return None;
    }
    let mut arguments = Vec::new();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["-o".into(), "ConnectTimeout=30".into(), "-T".into(), "--".into()]);
    arguments.push(name.to_owned());
    Some(Host::Ssh { arguments, socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_hosts() {
        let tcp = |name: &str, port, base: &str| {
            Some(Host::Tcp { name: name.into(), port, base: base.into() })
        };
        for (text, tls, want) in [
            ("unix:///a/b", false, Some(Host::Unix("/a/b".into()))),
            ("unix://", false, Some(Host::Unix("/var/run/docker.sock".into()))),
            ("tcp://1.2.3.4:5", false, tcp("1.2.3.4", 5, "")),
            ("tcp://1.2.3.4", true, tcp("1.2.3.4", 2376, "")),
            ("tcp://[::1]:9/p/", false, tcp("::1", 9, "/p")),
            ("h:1", false, tcp("h", 1, "")),
            ("tcp://h:99999", false, None),
            ("foo://x", false, None),
            ("ssh://-oProxyCommand=x", false, None),
            ("ssh://-lx@h", false, None),
        ] {
            assert_eq!(Host::parse(text, tls).ok(), want, "{text}");
        }
        let Ok(Host::Ssh { arguments, socket }) = Host::parse("ssh://u@h:22/run/x.sock", false)
        else {
            panic!("ssh host");
        };
        assert_eq!(arguments.join(" "), "-l u -p 22 -o ConnectTimeout=30 -T -- h");
        assert_eq!(socket.as_deref(), Some("/run/x.sock"));
    }
}
