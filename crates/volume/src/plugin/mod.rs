//! Volume plugins by Docker's plugin protocol.
//!
//! ```text
//! /run/docker/plugins/NAME.sock               a socket
//! /run/docker/plugins/NAME/NAME.sock          the same
//! /etc/docker/plugins/NAME.spec               text: unix:///path or tcp://host:port
//! /usr/lib/docker/plugins/NAME.json           {"Name": ..., "Addr": ...}
//! ```
//!
//! A plugin is looked for by its name when a volume needs it, and told `Plugin.Activate` once; one
//! that went away and came back is told again. Every call has a time limit, and no lock is held
//! while one is under way.

mod find;
mod http;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_fault::{Fault, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use find::Address;
pub(crate) use wire::Told;

/// How long a plugin that did not answer its activation is left out of lists.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// Where plugins are looked for, and how long they may take.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    /// Directory of sockets.
    pub sockets: PathBuf,
    /// Directories of `.spec` and `.json` files.
    pub specs: Vec<PathBuf>,
    /// Longest wait for a plugin to answer its activation.
    pub activation_limit: Duration,
    /// Longest wait for an answer.
    pub call_limit: Duration,
    /// Longest wait for work that takes time: create, mount, unmount, remove.
    pub work_limit: Duration,
}

impl Default for PluginConfig {
    /// Docker's directories and times.
    fn default() -> Self {
        Self {
            sockets: "/run/docker/plugins".into(),
            specs: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
            activation_limit: Duration::from_secs(30),
            call_limit: Duration::from_secs(60),
            work_limit: Duration::from_secs(120),
        }
    }
}

/// Why a plugin did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// There is none of this name.
    #[error("error looking up volume plugin {0}: plugin {0:?} not found")]
    NotFound(String),
    /// It is there, but is no volume driver.
    #[error("error looking up volume plugin {0}: Plugin does not implement the requested driver")]
    NoVolumes(String),
    /// Its file of addresses cannot be used.
    #[error("error looking up volume plugin {name}: {why}")]
    Spec {
        /// The plugin.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// It could not be spoken to, or not in time.
    #[error("{method}: plugin {plugin:?}: {}", crate::mount::plain(cause))]
    Unreachable {
        /// The plugin.
        plugin: String,
        /// What was asked of it.
        method: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// It did not answer its activation, not long ago.
    #[error("plugin {0:?} did not answer its activation")]
    Silent(String),
    /// It answered with another status than 200.
    #[error("{method}: {text}")]
    Status {
        /// What was asked of it.
        method: &'static str,
        /// Its words.
        text: String,
    },
    /// It answered what cannot be read.
    #[error("{method}: plugin {plugin:?}: {cause}")]
    Answer {
        /// The plugin.
        plugin: String,
        /// What was asked of it.
        method: &'static str,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// It refused; the words are its own.
    #[error("{0}")]
    Refused(String),
}

impl Fault for PluginError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoVolumes(_) => Kind::NotFound,
            _ => Kind::Internal,
        }
    }
}

/// The plugins that were found so far.
#[derive(Debug)]
pub(crate) struct Plugins {
    config: PluginConfig,
    active: Mutex<HashMap<String, Arc<Plugin>>>,
    /// When those that did not answer their activation were asked.
    silent: Mutex<HashMap<String, Instant>>,
}

/// A plugin that said it is a volume driver.
#[derive(Debug)]
pub(crate) struct Plugin {
    name: String,
    address: Address,
    call_limit: Duration,
    work_limit: Duration,
    /// `local` or `global`, once it was asked.
    scope: Mutex<Option<String>>,
}

impl Plugins {
    pub(crate) fn new(config: PluginConfig) -> Self {
        Self { config, active: Mutex::default(), silent: Mutex::default() }
    }

    /// The plugin of a name.
    ///
    /// # Errors
    /// When there is none, or it does not answer its activation in time.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Plugin>, PluginError> {
        let known = self.active().get(name).cloned();
        let found = find::by_name(&self.config, name)?;
        match (known, found) {
            // What speaks by another address now is told again.
            (Some(plugin), Some(address)) if plugin.address == address => Ok(plugin),
            (_, Some(address)) => self.activate(name, address),
            (_, None) => {
                self.active().remove(name);
                Err(PluginError::NotFound(name.to_owned()))
            }
        }
    }

    /// The names of those that were used so far.
    pub(crate) fn known(&self) -> Vec<String> {
        self.active().keys().cloned().collect()
    }

    /// Every volume driver that answers, and what is wrong with those that do not. One that was
    /// silent a moment ago is not waited for again.
    pub(crate) fn all(&self) -> (Vec<Arc<Plugin>>, Vec<PluginError>) {
        let (mut plugins, mut errors) = (Vec::new(), Vec::new());
        for name in find::names(&self.config) {
            let silent = self.silent().get(&name).is_some_and(|at| at.elapsed() < SILENT_FOR);
            if silent {
                errors.push(PluginError::Silent(name));
                continue;
            }
            match self.get(&name) {
                Ok(plugin) => plugins.push(plugin),
                // Plugins of other kinds stand in the same directories.
                Err(PluginError::NoVolumes(_) | PluginError::NotFound(_)) => {}
                Err(error) => errors.push(error),
            }
        }
        (plugins, errors)
    }

    fn activate(&self, name: &str, address: Address) -> Result<Arc<Plugin>, PluginError> {
        let plugin = Plugin {
            name: name.to_owned(),
            address,
            call_limit: self.config.call_limit,
            work_limit: self.config.work_limit,
            scope: Mutex::default(),
        };
        let limit = self.config.activation_limit;
        let answer = plugin.call("Plugin.Activate", &wire::Nothing {}, limit);
        let answer: wire::Activated = match answer {
            Err(error) => {
                self.silent().insert(name.to_owned(), Instant::now());
                return Err(error);
            }
            Ok(answer) => answer,
        };
        self.silent().remove(name);
        if !answer.implements.iter().any(|subject| subject == "VolumeDriver") {
            return Err(PluginError::NoVolumes(name.to_owned()));
        }
        let plugin = Arc::new(plugin);
        self.active().insert(name.to_owned(), Arc::clone(&plugin));
        Ok(plugin)
    }

    fn silent(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<String, Arc<Plugin>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugin {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its volumes are of this host or of many: `local` or `global`.
    pub(crate) fn scope(&self) -> String {
        let known = self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(scope) = known {
            return scope;
        }
        let answer: Result<wire::Capable, _> =
            self.call("VolumeDriver.Capabilities", &wire::Nothing {}, self.call_limit);
        let scope = match answer {
            Ok(answer) if answer.capabilities.scope.eq_ignore_ascii_case("global") => "global",
            // Older plugins do not know the question.
            _ => "local",
        };
        *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.to_owned());
        scope.to_owned()
    }

    /// Makes a volume.
    pub(crate) fn create(
        &self,
        name: &str,
        options: Option<&BTreeMap<String, String>>,
    ) -> Result<(), PluginError> {
        let ask = wire::Create { name, opts: options };
        self.ask::<wire::Done>("VolumeDriver.Create", &ask, self.work_limit).map(drop)
    }

    /// Removes a volume.
    pub(crate) fn remove(&self, name: &str) -> Result<(), PluginError> {
        let ask = wire::Named { name };
        self.ask::<wire::Done>("VolumeDriver.Remove", &ask, self.work_limit).map(drop)
    }

    /// Mounts a volume for a user; gives where it is.
    pub(crate) fn mount(&self, name: &str, user: &str) -> Result<String, PluginError> {
        let ask = wire::Used { name, id: user };
        let done: wire::Done = self.ask("VolumeDriver.Mount", &ask, self.work_limit)?;
        Ok(done.mountpoint)
    }

    /// Unmounts a volume for a user.
    pub(crate) fn unmount(&self, name: &str, user: &str) -> Result<(), PluginError> {
        let ask = wire::Used { name, id: user };
        self.ask::<wire::Done>("VolumeDriver.Unmount", &ask, self.work_limit).map(drop)
    }

    /// Where a volume is; empty while it is not mounted.
    pub(crate) fn path(&self, name: &str) -> Result<String, PluginError> {
        let ask = wire::Named { name };
        let done: wire::Done = self.ask("VolumeDriver.Path", &ask, self.call_limit)?;
        Ok(done.mountpoint)
    }

    /// Looks at a volume.
    pub(crate) fn look(&self, name: &str) -> Result<Told, PluginError> {
        let ask = wire::Named { name };
        let answer: wire::Got = self.ask("VolumeDriver.Get", &ask, self.call_limit)?;
        answer.volume.ok_or_else(|| PluginError::Refused("no such volume".to_owned()))
    }

    /// All its volumes.
    pub(crate) fn list(&self) -> Result<Vec<Told>, PluginError> {
        let answer: wire::Listed =
            self.ask("VolumeDriver.List", &wire::Nothing {}, self.call_limit)?;
        Ok(answer.volumes.unwrap_or_default())
    }

    /// Asks, and takes a refusal in the answer for what it is.
    fn ask<A: DeserializeOwned + wire::Answer>(
        &self,
        method: &'static str,
        ask: &impl Serialize,
        limit: Duration,
    ) -> Result<A, PluginError> {
        let answer: A = self.call(method, ask, limit)?;
        match answer.refusal() {
            "" => Ok(answer),
            words => Err(PluginError::Refused(words.to_owned())),
        }
    }

    fn call<A: DeserializeOwned>(
        &self,
        method: &'static str,
        ask: &impl Serialize,
        limit: Duration,
    ) -> Result<A, PluginError> {
        let answer = |cause| PluginError::Answer { plugin: self.name.clone(), method, cause };
        let body = serde_json::to_vec(ask).map_err(answer)?;
        let replied = http::post(&self.address, method, &body, limit);
        let (status, body) = replied.map_err(|cause| PluginError::Unreachable {
            plugin: self.name.clone(),
            method,
            cause,
        })?;
        if status != 200 {
            // An error's body is JSON with its words, or the words alone.
            let said: Option<wire::Done> = serde_json::from_slice(&body).ok();
            let words = said.map(|said| said.err).filter(|words| !words.is_empty());
            let text = words.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
            return Err(PluginError::Status { method, text });
        }
        serde_json::from_slice(&body).map_err(answer)
    }
}
