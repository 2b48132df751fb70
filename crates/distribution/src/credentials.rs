//! What a user proves to a registry who they are with.

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::Digest;
use gantry_web::Secret;

/// The credentials of one registry.
///
/// They are sent to the registry that they were given for and, where it says so, to the server that
/// makes its tokens; to no mirror and to no place that a redirect leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// None.
    #[default]
    Anonymous,
    /// A name and a password, or an access token in place of the password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// What a login gave instead of the password.
    Identity {
        /// The user.
        username: String,
        /// The token.
        token: Secret,
    },
    /// A token for requests, sent as it is.
    Registry(Secret),
}

impl Credentials {
    /// Whether there are none.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        *self == Self::Anonymous
    }

    /// The value of `Authorization` by name and password, if these are known.
    pub(crate) fn basic(&self) -> Option<Secret> {
        let Self::Basic { username, password } = self else { return None };
        let both = format!("{username}:{}", password.expose());
        Some(Secret::new(format!("Basic {}", STANDARD.encode(both))))
    }

    /// Tells these from others without keeping them.
    pub(crate) fn fingerprint(&self) -> String {
        let (kind, name, secret) = match self {
            Self::Anonymous => return String::new(),
            Self::Basic { username, password } => ("basic", username.as_str(), password),
            Self::Identity { username, token } => ("identity", username.as_str(), token),
            Self::Registry(token) => ("registry", "", token),
        };
        let length = name.len();
        Digest::of(format!("{kind} {length} {name} {}", secret.expose()).as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let secret = || Secret::new("pa55".to_owned());
        for credentials in [
            Credentials::Basic { username: "u".to_owned(), password: secret() },
            Credentials::Identity { username: "u".to_owned(), token: secret() },
            Credentials::Registry(secret()),
        ] {
            assert!(!format!("{credentials:?}").contains("pa55"), "{credentials:?}");
            assert!(!credentials.fingerprint().contains("pa55"));
        }
    }

    #[test]
    fn basic_is_base64() {
        let password = Secret::new("p:w".to_owned());
        let basic = Credentials::Basic { username: "u".to_owned(), password }.basic().unwrap();
        assert_eq!(basic.expose(), "Basic dTpwOnc=");
        assert_eq!(Credentials::Registry(Secret::default()).basic(), None);
    }
}
