//! What a server asks for: `WWW-Authenticate`.
//!
//! ```text
//! Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"
//! Basic realm="Registry"
//! ```
//!
//! Source: RFC 9110, section 11.6.1; Docker's "Token authentication specification".

use hyper::{HeaderMap, header::WWW_AUTHENTICATE};

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token.
    Bearer(Bearer),
}

/// Where a token is made, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// The URL of the server that makes it.
    pub realm: String,
    /// Who will look at it.
    pub service: String,
    /// What it is to allow.
    pub scope: String,
    /// Why the last one was refused: `insufficient_scope`, ….
    pub error: String,
}

/// Reads the challenges of an answer; a token is preferred.
pub(crate) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let found: Vec<Challenge> = values.flat_map(challenges).collect();
    let bearer = found.iter().find(|challenge| matches!(challenge, Challenge::Bearer(_)));
    bearer.or(found.first()).cloned()
}

fn challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Bearer)> = Vec::new();
    for part in split(text) {
        let (head, value) = part.split_once('=').unwrap_or((part, ""));
        let (scheme, name) = match head.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => (Some(scheme), name.trim()),
            None if value.is_empty() => (Some(head.trim()), ""),
            None => (None, head.trim()),
        };
        if let Some(scheme) = scheme {
            found.push((scheme.to_ascii_lowercase(), Bearer::default()));
        }
        let Some((_, bearer)) = found.last_mut() else { continue };
        let value = unquote(value.trim());
        match name.to_ascii_lowercase().as_str() {
            "realm" => bearer.realm = value,
            "service" => bearer.service = value,
            "scope" => bearer.scope = value,
            "error" => bearer.error = value,
            _ => {}
        }
    }
    let known = |(scheme, bearer): (String, Bearer)| match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" if !bearer.realm.is_empty() => Some(Challenge::Bearer(bearer)),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// Splits at commas outside quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: &str, scope: &str, error: &str| {
            let [realm, service, scope, error] = [realm, service, scope, error].map(str::to_owned);
            Some(Challenge::Bearer(Bearer { realm, service, scope, error }))
        };
        for (text, want) in [
            ("Basic realm=\"Registry, \\\"x\\\"\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t?x=y\",service=\"s\",scope=\"repository:a/b:pull,push\"",
                bearer("https://a/t?x=y", "s", "repository:a/b:pull,push", ""),
            ),
            (
                "BEARER Realm=https://a/t , error=\"insufficient_scope\"",
                bearer("https://a/t", "", "", "insufficient_scope"),
            ),
            ("Basic realm=\"r\", Bearer realm=\"https://a\"", bearer("https://a", "", "", "")),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
            (",=,\"", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
            assert_eq!(read(&headers), want, "{text}");
        }
    }
}
