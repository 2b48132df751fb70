//! Programs that keep credentials: `docker-credential-NAME`.
//!
//! The action is the argument; what it is about comes on standard input, the answer on standard
//! output, where errors are told too.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use gantry_api_types::auth::AuthConfig;
use serde::{Deserialize, Serialize};

/// What programs say of a registry that they know nothing of.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user's name of an identity token.
const TOKEN_USER: &str = "<token>";

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Helper {
    program: String,
}

/// What is kept of a registry.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Kept {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The program that goes by a name in the configuration file.
    pub(super) fn named(name: &str) -> Self {
        Self { program: format!("docker-credential-{name}") }
    }

    /// The credentials of a registry; empty ones if there are none.
    pub(super) fn get(&self, server: &str) -> Result<AuthConfig, String> {
        let answer = match self.ask("get", server.as_bytes()) {
            Err(error) if error.contains(NOT_FOUND) => return Ok(AuthConfig::default()),
            answer => answer?,
        };
        let kept: Kept = serde_json::from_slice(&answer).map_err(|error| self.failed(&error))?;
        let mut config = AuthConfig { serveraddress: server.to_owned(), ..AuthConfig::default() };
        if kept.username == TOKEN_USER {
            config.identitytoken = kept.secret;
        } else {
            (config.username, config.password) = (kept.username, kept.secret);
        }
        Ok(config)
    }

    /// The registries that it has credentials of.
    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        let answer = self.ask("list", b"unused")?;
        let all: BTreeMap<String, String> =
            serde_json::from_slice(&answer).map_err(|error| self.failed(&error))?;
        Ok(all.into_keys().collect())
    }

    /// Keeps credentials.
    pub(super) fn store(&self, config: &AuthConfig) -> Result<(), String> {
        let token = !config.identitytoken.is_empty();
        let kept = Kept {
            server_url: config.serveraddress.clone(),
            username: if token { TOKEN_USER.to_owned() } else { config.username.clone() },
            secret: if token { &config.identitytoken } else { &config.password }.clone(),
        };
        let text = serde_json::to_vec(&kept).map_err(|error| self.failed(&error))?;
        self.ask("store", &text).map(drop)
    }

    /// Forgets credentials.
    pub(super) fn erase(&self, server: &str) -> Result<(), String> {
        match self.ask("erase", server.as_bytes()) {
            Err(error) if error.contains(NOT_FOUND) => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn ask(&self, action: &str, about: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => self.failed(&format_args!(
                    "exec: \"{}\": executable file not found in $PATH",
                    self.program
                )),
                _ => self.failed(&error),
            })?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read is not told.
            let _ = stdin.write_all(about);
        }
        let answer = child.wait_with_output().map_err(|error| self.failed(&error))?;
        if answer.status.success() {
            return Ok(answer.stdout);
        }
        let said = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let code = answer.status.code().map_or("a signal".to_owned(), |code| code.to_string());
        Err(self.failed(&format_args!("exit status {code}, out: `{said}`")))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> String {
        format!("error getting credentials - err: {}: {why}", self.program)
    }
}
