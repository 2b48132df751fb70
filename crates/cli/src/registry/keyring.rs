//! Credentials: `auths` of the configuration file, and the programs that it names instead
//! (`credsStore`, and `credHelpers` for single registries).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gantry_api_types::auth::{AuthConfig, AuthConfigs};
use serde_json::{Map, Value, json};

use super::helper::Helper;
use crate::config::Config;

/// Programs that are used unless the file says otherwise, with what each needs to be there.
const USUAL_HELPERS: [(&str, Option<&str>); 2] = [("pass", Some("pass")), ("secretservice", None)];

impl Config {
    /// The credentials of a registry, by the key that files know it by; empty ones if there are
    /// none.
    pub(crate) fn credentials(&self, key: &str) -> Result<AuthConfig, String> {
        match self.helper(key) {
            Some(helper) => helper.get(key),
            None => Ok(self.filed(key).unwrap_or_default()),
        }
    }

    /// All credentials, by their keys. Programs that fail are left out, so that they stop no build.
    pub(crate) fn all_credentials(&self) -> AuthConfigs {
        let mut keys: BTreeSet<String> = self.auths().map(|(key, _)| key.clone()).collect();
        keys.extend(self.object("credHelpers").map(|(key, _)| key.clone()));
        if let Some(store) = self.store_name() {
            keys.extend(Helper::named(&store).list().unwrap_or_default());
        }
        let mut all = BTreeMap::new();
        for key in keys {
            let found = self.credentials(&key).unwrap_or_default();
            if found != AuthConfig::default() {
                all.insert(key, found);
            }
        }
        all
    }

    /// Keeps credentials under their `serveraddress`; tells whether they lie in the file as they
    /// are.
    pub(crate) fn keep(&mut self, credentials: &AuthConfig) -> Result<bool, String> {
        let key = credentials.serveraddress.clone();
        let helper = self.helper(&key);
        let entry = match &helper {
            Some(helper) => {
                helper.store(credentials)?;
                json!({})
            }
            None => filed_form(credentials),
        };
        self.change_auths(|auths| drop(auths.insert(key, entry)))?;
        Ok(helper.is_none())
    }

    /// Forgets the credentials of a registry.
    pub(crate) fn forget(&mut self, key: &str) -> Result<(), String> {
        let erased = match self.helper(key) {
            Some(helper) => helper.erase(key),
            None => Ok(()),
        };
        if self.auths().any(|(known, _)| known == key) {
            self.change_auths(|auths| drop(auths.shift_remove(key)))?;
        }
        erased
    }

    /// The program that keeps the credentials of a registry.
    fn helper(&self, key: &str) -> Option<Helper> {
        let own = self.object("credHelpers").find(|(known, _)| *known == key);
        let own = own.and_then(|(_, name)| name.as_str()).map(str::to_owned);
        own.or_else(|| self.store_name()).map(|name| Helper::named(&name))
    }

    fn store_name(&self) -> Option<String> {
        match self.text("credsStore") {
            "" if self.auths().next().is_some() => None,
            "" => usual_helper(),
            name => Some(name.to_owned()),
        }
    }

    fn auths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.object("auths")
    }

    /// What the file itself holds, under this key or another way to write it.
    fn filed(&self, key: &str) -> Option<AuthConfig> {
        let exact = self.auths().find(|(known, _)| *known == key);
        let found =
            exact.or_else(|| self.auths().find(|(known, _)| host_of(known) == host_of(key)))?;
        Some(read_entry(key, found.1))
    }
}

/// The value of `X-Registry-Auth`.
pub(crate) fn header(credentials: &AuthConfig) -> String {
    URL_SAFE.encode(serde_json::to_vec(credentials).unwrap_or_default())
}

/// The value of `X-Registry-Config`; nothing if there are no credentials.
pub(crate) fn header_of_all(credentials: &AuthConfigs) -> Option<String> {
    let text = serde_json::to_vec(credentials).ok()?;
    (!credentials.is_empty()).then(|| URL_SAFE.encode(text))
}

/// The host that a key names: without scheme and path.
pub(crate) fn host_of(key: &str) -> &str {
    let bare = ["http://", "https://"].iter().find_map(|scheme| key.strip_prefix(scheme));
    bare.unwrap_or(key).split('/').next().unwrap_or_default()
}

fn read_entry(key: &str, entry: &Value) -> AuthConfig {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let pair = STANDARD.decode(text("auth")).ok().and_then(|pair| String::from_utf8(pair).ok());
    let (username, password) = match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((username, password)) => (username.to_owned(), password.trim_matches('\0').to_owned()),
        None => (text("username"), text("password")),
    };
    AuthConfig {
        username,
        password,
        identitytoken: text("identitytoken"),
        registrytoken: text("registrytoken"),
        serveraddress: key.to_owned(),
        ..AuthConfig::default()
    }
}

/// As the file holds credentials.
fn filed_form(credentials: &AuthConfig) -> Value {
    let AuthConfig { username, password, identitytoken, registrytoken, .. } = credentials;
    let mut entry = Map::new();
    if !username.is_empty() || !password.is_empty() {
        let pair = STANDARD.encode(format!("{username}:{password}"));
        entry.insert("auth".to_owned(), pair.into());
    }
    for (name, token) in [("identitytoken", identitytoken), ("registrytoken", registrytoken)] {
        if !token.is_empty() {
            entry.insert(name.to_owned(), token.clone().into());
        }
    }
    entry.into()
}

/// A program of the usual ones, if it and what it needs are installed.
fn usual_helper() -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let usable = |(name, needs): &&(&str, Option<&str>)| {
        there(&format!("docker-credential-{name}")) && needs.is_none_or(there)
    };
    USUAL_HELPERS.iter().find(usable).map(|(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(directory: &tempfile::TempDir, text: &str) -> Config {
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        Config::load(directory.path().to_owned()).unwrap()
    }

    #[test]
    fn the_file_keeps_what_it_had() {
        let directory = tempfile::tempdir().unwrap();
        let text = r#"{"mine":{"b":1,"a":2},"auths":{"https://old.test/v1/":{"auth":"dTpwOnc="}}}"#;
        let mut own = config(&directory, text);
        let old = own.credentials("old.test").unwrap();
        assert_eq!((old.username.as_str(), old.password.as_str()), ("u", "p:w"));
        let token = AuthConfig {
            username: "u".to_owned(),
            identitytoken: "t".to_owned(),
            serveraddress: "new.test".to_owned(),
            ..AuthConfig::default()
        };
        assert!(own.keep(&token).unwrap(), "it lies in the file");
        let path = directory.path().join("config.json");
        let again = Config::load(directory.path().to_owned()).unwrap();
        assert_eq!(again.credentials("new.test").unwrap(), token);
        assert_eq!(again.all_credentials().len(), 2);
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value["mine"], json!({"b": 1, "a": 2}));
        assert_eq!(value["auths"]["new.test"], json!({"auth": "dTo=", "identitytoken": "t"}));
        own.forget("new.test").unwrap();
        let again = Config::load(directory.path().to_owned()).unwrap();
        assert_eq!(again.credentials("new.test").unwrap(), AuthConfig::default());
    }

    #[test]
    fn only_its_owner_reads_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |directory: &tempfile::TempDir| {
            let path = directory.path().join("config.json");
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        let mut own = Config::load(directory.path().to_owned()).unwrap();
        own.change_auths(|_| ()).unwrap();
        assert_eq!(mode(&directory), 0o600);
        // What its owner has decided stays.
        let path = directory.path().join("config.json");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
        own.change_auths(|_| ()).unwrap();
        assert_eq!(mode(&directory), 0o640);
    }

    #[test]
    fn programs_are_asked_first() {
        let directory = tempfile::tempdir().unwrap();
        let text = r#"{"credsStore":"none-such-a","credHelpers":{"r.test":"none-such-b"}}"#;
        let own = config(&directory, text);
        for (registry, program) in [("r.test", "none-such-b"), ("other.test", "none-such-a")] {
            let error = own.credentials(registry).unwrap_err();
            let wanted = format!("docker-credential-{program}\": executable file not found");
            assert!(error.contains(&wanted), "{registry}: {error}");
        }
    }

    #[test]
    fn hosts_of_keys() {
        for (key, want) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("http://a:5000", "a:5000"),
            ("a:5000/v2", "a:5000"),
        ] {
            assert_eq!(host_of(key), want);
        }
    }
}
