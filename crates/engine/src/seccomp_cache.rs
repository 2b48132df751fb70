//! System call filters, compiled once a profile and capability set.
//!
//! ```text
//! <exec_root>/seccomp/<sha256 of profile and capabilities>.bpf
//! ```
//!
//! The files are written under another name and renamed, and only read by shims.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_oci::Digest;
use gantry_oci::runtime::Seccomp;
use gantry_sys::kernel::Version;

use crate::StartError;
use crate::spec::security::SeccompChoice;

/// Filters kept in memory; beyond that, they are compiled again.
const KEPT: usize = 64;

/// A container's filter.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// The profile, for runtimes that compile it themselves.
    pub(crate) profile: Seccomp,
    /// The compiled program; absent when it needs flags that the file cannot carry.
    pub(crate) bpf: Option<PathBuf>,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct SeccompCache {
    dir: PathBuf,
    /// The daemon's own profile as JSON, and whether it switches filters off.
    daemon: DaemonProfile,
    kernel: Version,
    known: Mutex<HashMap<String, Arc<Filter>>>,
}

/// What the daemon was given as its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum DaemonProfile {
    /// Nothing: Docker's own.
    #[default]
    Builtin,
    /// No filter.
    Unconfined,
    /// JSON.
    Json(String),
}

impl SeccompCache {
    /// A cache in `exec_root`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) fn open(exec_root: &Path, daemon: DaemonProfile) -> io::Result<Self> {
        let dir = exec_root.join("seccomp");
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir, daemon, kernel: Version::running(), known: Mutex::default() })
    }

    /// The filter for a choice and capability set; `None` is none at all.
    ///
    /// # Errors
    /// A profile that is none, or a file that cannot be written.
    pub(crate) fn filter(
        &self,
        choice: &SeccompChoice,
        caps: &[String],
    ) -> Result<Option<Arc<Filter>>, StartError> {
        let json = match (choice, &self.daemon) {
            (SeccompChoice::Unconfined, _)
            | (SeccompChoice::Default, DaemonProfile::Unconfined) => return Ok(None),
            (SeccompChoice::Profile(json), _)
            | (SeccompChoice::Default, DaemonProfile::Json(json)) => Some(json.as_str()),
            (SeccompChoice::Builtin, _) | (SeccompChoice::Default, DaemonProfile::Builtin) => None,
        };
        let key = key(json, caps);
        if let Some(filter) = self.known().get(&key) {
            return Ok(Some(Arc::clone(filter)));
        }
        let profile = match json {
            Some(json) => gantry_seccomp::docker::from_docker_json(
                json,
                caps,
                (self.kernel.0, self.kernel.1),
            )?,
            None => gantry_seccomp::docker::default_profile(caps),
        };
        let program = gantry_seccomp::compile(&profile)?;
        let bpf = match program.flags() {
            0 => Some(self.write(&key, &program.to_bytes())?),
            _ => None,
        };
        let filter = Arc::new(Filter { profile, bpf });
        let mut known = self.known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, Arc::clone(&filter));
        Ok(Some(filter))
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<PathBuf, StartError> {
        let path = self.dir.join(format!("{key}.bpf"));
        let fresh = self.dir.join(format!("{key}.{}", std::process::id()));
        let written = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, &path));
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(StartError::File { step: "writing", path, source }),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Filter>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(json: Option<&str>, caps: &[String]) -> String {
    let text = format!("{}\n{}", json.unwrap_or("builtin"), caps.join(","));
    Digest::of(text.as_bytes()).hex().to_owned()
}
