//! Browsers are kept out.
//!
//! A page of any site can make the visitor's browser send requests to a daemon on localhost, or
//! have its own host name resolve to it (DNS rebinding). Programs send none of the headers that
//! browsers cannot leave out, so a request that carries one must come from the daemon's own
//! address, under a name that no foreign site can own. Connections over a Unix socket are not
//! asked, since no browser opens one. There is no CORS.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{HOST, ORIGIN};

use crate::error::ApiError;

const FETCH_SITE: &str = "sec-fetch-site";

/// Refuses requests that a browser sends on behalf of another site.
pub(crate) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let (origin, site) = (text(ORIGIN.as_str()), text(FETCH_SITE));
    if origin.is_none() && site.is_none() {
        return Ok(());
    }
    let host = text(HOST.as_str()).unwrap_or_default();
    let own_origin = origin.is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority == host)
    });
    let own_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    if own_origin && own_site && is_own_name(host, allowed) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "requests from other sites are not allowed"))
}

/// Whether a `Host` header names an address, `localhost` or an allowed name.
fn is_own_name(host: &str, allowed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_sites_are_refused() {
        let allowed = ["box.lan".to_owned()];
        for (host, origin, site, want) in [
            ("evil.example", None, None, true),
            ("localhost:2375", None, None, true),
            ("localhost:2375", Some("http://localhost:2375"), None, true),
            ("127.0.0.1:2375", Some("http://127.0.0.1:2375"), Some("same-origin"), true),
            ("[::1]:2375", Some("http://[::1]:2375"), None, true),
            ("box.lan:2375", Some("http://box.lan:2375"), None, true),
            ("localhost:2375", Some("http://evil.example"), None, false),
            ("localhost:2375", Some("null"), None, false),
            ("localhost:2375", None, Some("cross-site"), false),
            ("evil.example:2375", Some("http://evil.example:2375"), None, false),
            ("", Some("http://evil.example"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert(FETCH_SITE, site.parse().unwrap());
            }
            assert_eq!(check(&headers, &allowed).is_ok(), want, "{host} {origin:?} {site:?}");
        }
    }
}
