//! `EXPOSE`: `port[-port][/protocol]`, and what Docker takes beyond that.

/// Most ports that one word may stand for.
const PORTS_MAX: u16 = u16::MAX;

/// What a word of `EXPOSE` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    /// `port/protocol`, each.
    pub ports: Vec<String>,
    /// It names an address or a port of the host, which `EXPOSE` has no use for.
    pub maps: bool,
    /// The protocol, if it is not in lower case.
    pub odd_protocol: Option<String>,
}

/// Why a word is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// A protocol alone.
    #[error("no port specified: {0}<empty>")]
    None(String),
    /// Not tcp, udp or sctp.
    #[error("invalid proto: {0}")]
    Protocol(String),
    /// No number, or not one of a port.
    #[error("invalid containerPort: {0}")]
    Container(String),
    /// The same of the host's.
    #[error("invalid hostPort: {0}")]
    Host(String),
    /// Ranges of different lengths.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// The container's.
        container: String,
        /// The host's.
        host: String,
    },
    /// No address.
    #[error("invalid IP address: {0}")]
    Address(String),
}

/// Reads `[[address:]host:]port[/protocol]`, where ports may be ranges.
///
/// # Errors
/// In Docker's words.
pub(super) fn parse(word: &str) -> Result<Ports, PortError> {
    let (outer, inner) = word.rsplit_once(':').unwrap_or(("", word));
    let (address, host) = outer.rsplit_once(':').unwrap_or(("", outer));
    let (port, written) = inner.split_once('/').unwrap_or((inner, ""));
    if port.is_empty() {
        return Err(PortError::None(inner.to_owned()));
    }
    let protocol = written.to_lowercase();
    let protocol = match protocol.as_str() {
        "" => "tcp",
        "tcp" | "udp" | "sctp" => &protocol,
        _ => return Err(PortError::Protocol(protocol)),
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(PortError::Address(bare.to_owned()));
    }
    let (first, last) = range(port).ok_or_else(|| PortError::Container(port.to_owned()))?;
    if !host.is_empty() {
        let (low, high) = range(host).ok_or_else(|| PortError::Host(host.to_owned()))?;
        if first != last && high - low != last - first {
            let (container, host) = (port.to_owned(), host.to_owned());
            return Err(PortError::Ranges { container, host });
        }
    }
    Ok(Ports {
        ports: (first..=last).map(|number| format!("{number}/{protocol}")).collect(),
        maps: word.contains(':'),
        odd_protocol: (protocol != written && !written.is_empty()).then(|| written.to_owned()),
    })
}

fn range(text: &str) -> Option<(u16, u16)> {
    // Go's ParseUint, which Docker uses, takes no sign.
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last && last <= PORTS_MAX).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (word, want) in [
            ("80", vec!["80/tcp"]),
            ("80/udp", vec!["80/udp"]),
            ("80/", vec!["80/tcp"]),
            ("80-82/sctp", vec!["80/sctp", "81/sctp", "82/sctp"]),
            ("8080:80", vec!["80/tcp"]),
            ("127.0.0.1:8080:80", vec!["80/tcp"]),
            ("[::1]:8080:80/udp", vec!["80/udp"]),
            ("::80", vec!["80/tcp"]),
            ("8000-9000:80", vec!["80/tcp"]),
            ("65535", vec!["65535/tcp"]),
        ] {
            assert_eq!(parse(word).map(|ports| ports.ports), Ok(words_of(&want)), "{word}");
        }
        assert_eq!(parse("80/TCP").unwrap().odd_protocol.as_deref(), Some("TCP"));
        assert!(parse("1:80").unwrap().maps && !parse("80").unwrap().maps);
    }

    #[test]
    fn wrong_words() {
        for (word, want) in [
            ("", "no port specified: <empty>"),
            ("/tcp", "no port specified: /tcp<empty>"),
            ("80/icmp", "invalid proto: icmp"),
            ("99999999", "invalid containerPort: 99999999"),
            ("a", "invalid containerPort: a"),
            ("90-80", "invalid containerPort: 90-80"),
            ("+80", "invalid containerPort: +80"),
            ("x:80", "invalid hostPort: x"),
            (
                "1-3:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 1-3",
            ),
            ("300.0.0.1:1:80", "invalid IP address: 300.0.0.1"),
        ] {
            assert_eq!(parse(word).unwrap_err().to_string(), want, "{word}");
        }
    }

    fn words_of(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }
}
