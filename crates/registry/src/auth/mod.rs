//! Who asks, and what he may do.
//!
//! ```text
//! htpasswd  names and passwords        rights  who may do what, by patterns
//! token     signed rights of a while   here    from a header to a caller
//! ```
//!
//! A caller proves a name by a password, or rights by a token that he got for a password. Without
//! a file of passwords everybody may do everything.

mod htpasswd;
mod rights;
mod token;

use std::{io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

pub use rights::{Action, Right};
pub(crate) use token::Access;

use crate::config::{Auth, Challenge};
use htpasswd::Users;
use rights::Rights;
use token::Signer;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody is asked who he is.
    Anyone,
    /// He did not say.
    Nobody,
    /// He has this user's password.
    User(String),
    /// He has a token.
    Token { user: String, access: Vec<Access> },
}

impl Caller {
    /// The name to note; empty if there is none.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anyone | Self::Nobody => "",
            Self::User(user) | Self::Token { user, .. } => user,
        }
    }
}

/// Why somebody is not who he says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untrue {
    /// A wrong name or password, or a header that cannot be read.
    Password,
    /// A token that is not ours, or too old.
    Token,
}

/// Lets callers in.
#[derive(Debug)]
pub(crate) struct Gate {
    door: Option<Door>,
}

#[derive(Debug)]
struct Door {
    users: Users,
    rights: Rights,
    signer: Signer,
    config: Auth,
}

impl Gate {
    /// Reads passwords and key; the key is below `root` unless the configuration names another.
    ///
    /// # Errors
    /// When one of the files cannot be used.
    pub(crate) fn open(config: &Auth, root: &Path) -> io::Result<Self> {
        let Some(path) = &config.htpasswd else { return Ok(Self { door: None }) };
        let within = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let users = Users::open(path).map_err(|error| within(path, error))?;
        let key = config.key.clone().unwrap_or_else(|| root.join("token.key"));
        let signer = Signer::open(&key, &config.issuer, &config.service)
            .map_err(|error| within(&key, error))?;
        let rights =
            Rights { rights: config.rights.clone(), anonymous_pull: config.anonymous_pull.clone() };
        Ok(Self { door: Some(Door { users, rights, signer, config: config.clone() }) })
    }

    /// Whether callers are asked who they are.
    pub(crate) fn is_closed(&self) -> bool {
        self.door.is_some()
    }

    /// The configuration, where there is one.
    pub(crate) fn config(&self) -> Option<&Auth> {
        self.door.as_ref().map(|door| &door.config)
    }

    /// Finds out who asks, from the value of `Authorization`.
    pub(crate) async fn recognise(&self, authorization: Option<&str>) -> Result<Caller, Untrue> {
        let Some(door) = &self.door else { return Ok(Caller::Anyone) };
        let Some(text) = authorization else { return Ok(Caller::Nobody) };
        let (scheme, value) = text.split_once(' ').ok_or(Untrue::Password)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            let claims = door.signer.verify(value.trim()).ok_or(Untrue::Token)?;
            let access = claims.access.ok_or(Untrue::Token)?;
            return Ok(Caller::Token { user: claims.sub, access });
        }
        let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(value.trim()));
        let decoded = decoded.and_then(Result::ok).and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or(Untrue::Password)?;
        let (user, password) = decoded.split_once(':').ok_or(Untrue::Password)?;
        self.login(user, password).await
    }

    /// Checks a password.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Result<Caller, Untrue> {
        let Some(door) = &self.door else { return Ok(Caller::Anyone) };
        match door.users.check(user, password).await {
            true => Ok(Caller::User(user.to_owned())),
            false => Err(Untrue::Password),
        }
    }

    /// Whether a caller may do this.
    pub(crate) fn allows(&self, caller: &Caller, repository: &str, action: Action) -> bool {
        let Some(door) = &self.door else { return true };
        match caller {
            Caller::Anyone => true,
            Caller::Nobody => door.rights.allow(None, repository, action),
            Caller::User(user) => door.rights.allow(Some(user), repository, action),
            Caller::Token { access, .. } => access.iter().any(|access| {
                access.kind == "repository"
                    && access.name == repository
                    && access.actions.iter().any(|granted| granted == action.text())
            }),
        }
    }

    /// Whether a caller may see a repository in lists. A token tells of single repositories, so for
    /// lists its user counts.
    pub(crate) fn lists(&self, caller: &Caller, repository: &str) -> bool {
        let Some(door) = &self.door else { return true };
        let user = Some(caller.name()).filter(|name| !name.is_empty());
        door.rights.allow(user, repository, Action::Pull)
    }

    /// Whether a caller is known well enough to be told that this is a registry.
    pub(crate) fn greets(&self, caller: &Caller) -> bool {
        let Some(door) = &self.door else { return true };
        let open = door.config.anonymous_pull.is_some();
        *caller != Caller::Nobody || (open && door.config.challenge() == Challenge::Basic)
    }

    /// Turns wishes (`repository:name:pull,push`) into what of them is granted.
    pub(crate) fn grant<'a>(
        &self,
        caller: &Caller,
        scopes: impl Iterator<Item = &'a str>,
    ) -> Vec<Access> {
        let wishes = scopes.flat_map(str::split_whitespace).filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            // Names of repositories may hold a port, so the actions are what is last.
            let (name, actions) = rest.rsplit_once(':')?;
            (kind == "repository").then_some((name, actions))
        });
        wishes
            .map(|(name, actions)| {
                let all = actions.split(',').any(|action| action == "*");
                let wanted =
                    |action: &Action| all || actions.split(',').any(|a| a == action.text());
                let granted = Action::ALL
                    .into_iter()
                    .filter(wanted)
                    .filter(|action| self.allows(caller, name, *action));
                Access {
                    kind: "repository".to_owned(),
                    name: name.to_owned(),
                    actions: granted.map(|action| action.text().to_owned()).collect(),
                }
            })
            .filter(|access| !access.actions.is_empty())
            .collect()
    }

    /// A token with these rights; empty where nobody is asked who he is.
    pub(crate) fn token(&self, caller: &Caller, access: Vec<Access>) -> String {
        let Some(door) = &self.door else { return String::new() };
        door.signer.sign(caller.name(), door.config.token_life_s, Some(access))
    }

    /// A token that others are got with in place of the password; none for who has no name.
    pub(crate) fn refresh_token(&self, caller: &Caller) -> Option<String> {
        let door = self.door.as_ref()?;
        let Caller::User(user) = caller else { return None };
        Some(door.signer.sign(user, door.config.refresh_life_s, None))
    }

    /// Who has such a token, if he is still a user.
    pub(crate) fn refresh(&self, token: &str) -> Result<Caller, Untrue> {
        let Some(door) = &self.door else { return Ok(Caller::Anyone) };
        let claims = door.signer.verify(token).ok_or(Untrue::Token)?;
        match claims.access.is_none() && door.users.has(&claims.sub) {
            true => Ok(Caller::User(claims.sub)),
            false => Err(Untrue::Token),
        }
    }
}
