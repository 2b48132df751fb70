//! Who we are, to registries that want to know.
//!
//! ```text
//! request -> 401, WWW-Authenticate -> Basic:  the password, with this and all later requests
//!                                  -> Bearer: a token from the realm, kept until it expires
//! ```
//!
//! A realm elsewhere gets credentials only if it is reached by TLS and the registry that named it was
//! reached by TLS whose certificate was checked: nobody on the way can have named it.

mod challenge;
mod scope;
mod token;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gantry_web::Address;
use hyper::header::HeaderValue;

use self::token::sensitive;
pub(crate) use self::{
    challenge::{Bearer, Challenge, read as read_challenge},
    scope::Scopes,
    token::{Order, Token},
};
use crate::{Credentials, DistributionError, Secret, server::Server};

/// How many tokens are kept before those that have expired are dropped.
const TOKENS_MAX: usize = 256;
/// How many challenges are remembered; they are asked for again after that.
const CHALLENGES_MAX: usize = 4096;

type Place = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What registries asked for, and the tokens for them.
#[derive(Default)]
pub(crate) struct Auth {
    /// By the server's origin, and by what was asked of it where it wanted more allowed than that.
    challenges: Mutex<HashMap<(String, Option<Scopes>), Challenge>>,
    tokens: Mutex<HashMap<Key, Place>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    origin: String,
    realm: String,
    service: String,
    scopes: Scopes,
    credentials: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    /// The value of `Authorization` for a request, as far as it is known what is wanted.
    pub(crate) async fn header(
        &self,
        server: &Server,
        address: &Address,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, DistributionError> {
        if let Credentials::Registry(token) = server.credentials() {
            return bearer(token).map(Some);
        }
        match self.challenge(address, scopes) {
            None => Ok(None),
            Some(Challenge::Basic) => {
                server.credentials().basic().as_ref().map(sensitive).transpose()
            }
            Some(Challenge::Bearer(wanted)) => {
                let token = self.token(server, address, &wanted, scopes, None).await?;
                bearer(&token.text).map(Some)
            }
        }
    }

    /// What to say after `refused` (nothing, if nothing was said) led to a challenge.
    ///
    /// `None` if there is nothing better to say.
    pub(crate) async fn answer(
        &self,
        server: &Server,
        address: &Address,
        challenge: &Challenge,
        scopes: &Scopes,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, DistributionError> {
        self.learn(address, scopes, challenge);
        let header = match (server.credentials(), challenge) {
            (Credentials::Registry(_), _) => None,
            (credentials, Challenge::Basic) => {
                credentials.basic().as_ref().map(sensitive).transpose()?
            }
            (_, Challenge::Bearer(wanted)) => {
                let token = self.token(server, address, wanted, scopes, refused).await?;
                Some(bearer(&token.text)?)
            }
        };
        Ok(header.filter(|header| Some(header) != refused))
    }

    fn challenge(&self, address: &Address, scopes: &Scopes) -> Option<Challenge> {
        let challenges = lock(&self.challenges);
        let special = challenges.get(&(address.origin(), Some(scopes.clone())));
        special.or_else(|| challenges.get(&(address.origin(), None))).cloned()
    }

    /// Notes what a server asks for.
    pub(crate) fn learn(&self, address: &Address, scopes: &Scopes, challenge: &Challenge) {
        let mut challenges = lock(&self.challenges);
        if challenges.len() >= CHALLENGES_MAX {
            challenges.clear();
        }
        let mut general = challenge.clone();
        if let Challenge::Bearer(bearer) = &mut general {
            if scopes.clone().with_text(&bearer.scope) != *scopes {
                challenges.insert((address.origin(), Some(scopes.clone())), challenge.clone());
            }
            bearer.scope.clear();
        }
        challenges.insert((address.origin(), None), general);
    }

    /// A token that was not refused; those who want the same one wait for each other.
    async fn token(
        &self,
        server: &Server,
        address: &Address,
        wanted: &Bearer,
        scopes: &Scopes,
        refused: Option<&HeaderValue>,
    ) -> Result<Token, DistributionError> {
        let scopes = scopes.clone().with_text(&wanted.scope);
        let place = self.place(Key {
            origin: address.origin(),
            realm: wanted.realm.clone(),
            service: wanted.service.clone(),
            scopes: scopes.clone(),
            credentials: server.credentials().fingerprint(),
        });
        let mut kept = place.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.is_fresh())
            && bearer(&token.text).ok().as_ref() != refused
        {
            return Ok(token.clone());
        }
        let token = self.order(server, address, wanted, &scopes, false).await?;
        *kept = Some(token.clone());
        Ok(token)
    }

    fn place(&self, key: Key) -> Place {
        let mut tokens = lock(&self.tokens);
        if tokens.len() >= TOKENS_MAX {
            // One that is locked is being made right now.
            tokens.retain(|_, place| {
                place.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(Token::is_fresh))
            });
        }
        Arc::clone(tokens.entry(key).or_default())
    }

    /// Gets a new token from where the registry says.
    pub(crate) async fn order(
        &self,
        server: &Server,
        address: &Address,
        wanted: &Bearer,
        scopes: &Scopes,
        offline: bool,
    ) -> Result<Token, DistributionError> {
        let realm = Address::parse(&wanted.realm).ok_or_else(|| DistributionError::Realm {
            host: address.authority(),
            realm: wanted.realm.clone(),
            why: "that is no URL",
        })?;
        let credentials = server.credentials();
        if let Some(why) = objection(address, &realm, server.is_verified(), credentials) {
            let (host, realm) = (address.authority(), realm.to_string());
            return Err(DistributionError::Realm { host, realm, why });
        }
        let wire = server.wire_to(&realm)?;
        let limit_bytes = server.limits().document_bytes;
        let order = Order { bearer: wanted, realm, scopes, credentials, offline, limit_bytes };
        order.get(&wire).await
    }
}

/// Why a realm must not be asked.
fn objection(
    registry: &Address,
    realm: &Address,
    is_verified: bool,
    credentials: &Credentials,
) -> Option<&'static str> {
    if registry.tls && !realm.tls {
        return Some("it is reached without TLS");
    }
    if credentials.is_anonymous() || registry.host == realm.host {
        return None;
    }
    if !realm.tls {
        return Some("it is another host, reached without TLS");
    }
    let checked = registry.tls && is_verified;
    (!checked).then_some("it is another host, and the registry's own certificate is not checked")
}

fn bearer(token: &Secret) -> Result<HeaderValue, DistributionError> {
    sensitive(&Secret::new(format!("Bearer {}", token.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms() {
        let password = Secret::new("p".to_owned());
        let basic = Credentials::Basic { username: "u".to_owned(), password };
        for (registry, realm, is_verified, anonymous_ok, basic_ok) in [
            ("https://r.example", "https://auth.example/t", true, true, true),
            ("https://r.example", "https://auth.example/t", false, true, false),
            ("https://r.example", "https://r.example:444/t", false, true, true),
            ("https://r.example", "http://r.example/t", true, false, false),
            ("https://r.example", "http://auth.example/t", true, false, false),
            ("http://r.example", "http://r.example:81/t", true, true, true),
            ("http://r.example", "http://auth.example/t", true, true, false),
            ("http://r.example", "https://auth.example/t", true, true, false),
        ] {
            let [from, to] = [registry, realm].map(|text| Address::parse(text).unwrap());
            let ok = |credentials| objection(&from, &to, is_verified, credentials).is_none();
            assert_eq!(ok(&Credentials::Anonymous), anonymous_ok, "{registry} {realm}");
            assert_eq!(ok(&basic), basic_ok, "{registry} {realm}");
        }
    }
}
