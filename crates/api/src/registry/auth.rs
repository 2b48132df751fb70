//! Credentials as clients send them, and `POST /auth`.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use gantry_api_types::auth::{AuthConfig, AuthConfigs, AuthResponse};
use gantry_distribution::{Credentials, Secret, index_key};
use hyper::HeaderMap;
use serde::de::DeserializeOwned;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;

/// Credentials of one registry, base64 of [`AuthConfig`].
const ONE: &str = "x-registry-auth";
/// Those of several, base64 of [`AuthConfigs`].
const MANY: &str = "x-registry-config";
/// The user's name of an identity token, as credential helpers have it.
const TOKEN_USER: &str = "<token>";

/// The credentials that came with a request. What cannot be read is none, as in Docker.
pub(crate) fn of_headers(headers: &HeaderMap) -> Credentials {
    decoded::<AuthConfig>(headers, ONE).map(credentials).unwrap_or_default()
}

/// The credentials of several registries that came with a build.
pub(crate) fn many_of_headers(headers: &HeaderMap) -> Keyring {
    Keyring(decoded(headers, MANY).unwrap_or_default())
}

/// Credentials by registry, as a client's file has them.
#[derive(Clone, Default)]
pub(crate) struct Keyring(AuthConfigs);

impl Keyring {
    /// Those of a registry.
    pub(crate) fn of(&self, registry: &str) -> Credentials {
        let key = index_key(registry);
        let bare = |name: &str| {
            let name = name.split_once("://").map_or(name, |(_, rest)| rest);
            name.split('/').next().unwrap_or_default().to_owned()
        };
        // A key may be a URL, as old clients wrote it.
        let found = self.0.get(&key).or_else(|| {
            self.0.iter().find(|(name, _)| bare(name) == registry).map(|(_, config)| config)
        });
        found.cloned().map(credentials).unwrap_or_default()
    }
}

fn decoded<T: DeserializeOwned>(headers: &HeaderMap, name: &str) -> Option<T> {
    let text = headers.get(name)?.as_bytes();
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let json = [URL_SAFE, STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())?;
    serde_json::from_slice(&json).ok()
}

/// What of a configuration proves who somebody is.
fn credentials(config: AuthConfig) -> Credentials {
    let AuthConfig { username, password, auth, identitytoken, registrytoken, .. } = config;
    if !registrytoken.is_empty() {
        return Credentials::Registry(Secret::new(registrytoken));
    }
    if !identitytoken.is_empty() {
        return Credentials::Identity { username, token: Secret::new(identitytoken) };
    }
    let (username, password) = match (username.is_empty(), split(&auth)) {
        (true, Some(pair)) => pair,
        _ => (username, password),
    };
    match username.as_str() {
        "" => Credentials::Anonymous,
        TOKEN_USER => {
            Credentials::Identity { username: String::new(), token: Secret::new(password) }
        }
        _ => Credentials::Basic { username, password: Secret::new(password) },
    }
}

/// The two parts of `user:password` in base64.
fn split(auth: &str) -> Option<(String, String)> {
    let text = base64::engine::general_purpose::STANDARD.decode(auth).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// `POST /auth`: whether a registry takes these credentials.
pub(crate) async fn check(call: Call) -> Result<Response, ApiError> {
    let config: AuthConfig = call.upload.json(&call.headers).await?;
    let server = config.serveraddress.clone();
    let login = call.api.transfers.client().login(&server, &credentials(config)).await?;
    let token = login.identity_token.map(|token| token.expose().to_owned());
    body::ok(&AuthResponse {
        status: "Login Succeeded".to_owned(),
        identity_token: token.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn header(name: &'static str, value: String) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn basic(username: &str, password: &str) -> Credentials {
        let password = Secret::new(password.to_owned());
        Credentials::Basic { username: username.to_owned(), password }
    }

    #[test]
    fn headers_are_read_as_docker_reads_them() {
        let token = |token: &str| Secret::new(token.to_owned());
        let json = r#"{"username":"ü?>","password":"p:w"}"#;
        for text in [URL_SAFE.encode(json), URL_SAFE_NO_PAD.encode(json), STANDARD.encode(json)] {
            assert_eq!(of_headers(&header(ONE, text)), basic("ü?>", "p:w"));
        }
        for (json, want) in [
            ("{}", Credentials::Anonymous),
            ("", Credentials::Anonymous),
            ("no JSON", Credentials::Anonymous),
            (r#"{"auth":"dTpw"}"#, basic("u", "p")),
            (r#"{"registrytoken":"t","username":"u"}"#, Credentials::Registry(token("t"))),
            (
                r#"{"identitytoken":"t","username":"u"}"#,
                Credentials::Identity { username: "u".to_owned(), token: token("t") },
            ),
            (
                r#"{"username":"<token>","password":"t"}"#,
                Credentials::Identity { username: String::new(), token: token("t") },
            ),
        ] {
            assert_eq!(of_headers(&header(ONE, URL_SAFE.encode(json))), want, "{json}");
        }
        assert_eq!(of_headers(&header(ONE, "%%%".to_owned())), Credentials::Anonymous);
        assert_eq!(of_headers(&HeaderMap::new()), Credentials::Anonymous);
    }

    #[test]
    fn builds_have_several() {
        let json = r#"{"https://index.docker.io/v1/":{"username":"hub","password":"p"},
            "reg:5000":{"auth":"dTpw"},"https://old.test/v1/":{"username":"o","password":"p"}}"#;
        let all = many_of_headers(&header(MANY, URL_SAFE.encode(json)));
        for (registry, want) in [
            ("docker.io", basic("hub", "p")),
            ("reg:5000", basic("u", "p")),
            ("old.test", basic("o", "p")),
            ("reg", Credentials::Anonymous),
        ] {
            assert_eq!(all.of(registry), want, "{registry}");
        }
    }
}
