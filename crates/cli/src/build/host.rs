//! What this machine gives to a build: directories, secrets, agents, and places for its outputs.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gantry_build_proto::Listing;
use gantry_client::{BuildHost, Destination};

use super::agent::AgentSource;
use super::options::{Place, Secret, SecretSource};
use super::output;
use super::tree::{Tree, whole};
use crate::container::reason;

/// Largest secret, as BuildKit has it.
const SECRET_BYTES_MAX: u64 = 500 << 10;

/// The client's end of a build.
#[derive(Default)]
pub(crate) struct Host {
    /// Directories by the names of their contexts.
    pub(crate) trees: HashMap<String, Tree>,
    /// A context that comes as a stream, by its name, until it has been asked for.
    pub(crate) stream: Mutex<Option<(String, Box<dyn Read + Send>)>>,
    pub(crate) secrets: HashMap<String, SecretSource>,
    pub(crate) agents: HashMap<String, AgentSource>,
    pub(crate) places: Vec<Place>,
    /// Directories for caches, by the number of the cache in the request.
    pub(crate) caches: HashMap<usize, PathBuf>,
}

impl Host {
    /// What contexts could not offer, since the last call.
    pub(crate) fn left_out(&self) -> Vec<String> {
        self.trees.values().flat_map(Tree::left_out).collect()
    }

    fn tree(&self, context: &str) -> Result<&Tree, String> {
        self.trees.get(context).ok_or_else(|| format!("context {context:?} not found"))
    }
}

/// Settles where secrets are, and that those in files can be there.
pub(crate) fn secrets(given: Vec<Secret>) -> Result<HashMap<String, SecretSource>, String> {
    let mut all = HashMap::new();
    for Secret { id, from } in given {
        let from = match from {
            SecretSource::Either if std::env::var_os(&id).is_some() => {
                SecretSource::Variable(id.clone())
            }
            SecretSource::Either => SecretSource::File(PathBuf::from(&id)),
            from => from,
        };
        if let SecretSource::File(path) = &from {
            let shown = path.display();
            let metadata = std::fs::metadata(path).map_err(|error| {
                format!("failed to stat {shown}: stat {shown}: {}", reason(&error))
            })?;
            if metadata.len() > SECRET_BYTES_MAX {
                return Err(too_big(&id));
            }
        }
        all.insert(id, from);
    }
    Ok(all)
}

fn too_big(id: &str) -> String {
    format!("secret {id} too big. max size 500KB")
}

fn file(id: &str, path: &Path) -> Result<Vec<u8>, String> {
    whole(path, SECRET_BYTES_MAX)
        .map_err(|error| format!("open {}: {}", path.display(), reason(&error)))?
        .ok_or_else(|| too_big(id))
}

impl BuildHost for Host {
    fn list(
        &self,
        context: &str,
        directory: &str,
        known: &str,
        shallow: bool,
    ) -> Result<Listing, String> {
        self.tree(context)?.list(directory, known, shallow)
    }

    fn read(&self, context: &str, path: &str, sink: &mut dyn Write) -> Result<(), String> {
        self.tree(context)?.read(path, sink)
    }

    fn tar(&self, context: &str) -> Result<Box<dyn Read + Send>, String> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        match stream.take() {
            Some((name, reader)) if name == context => Ok(reader),
            _ => Err(format!("a stream for the context {context:?} not found")),
        }
    }

    fn secret(&self, id: &str) -> Result<Vec<u8>, String> {
        match self.secrets.get(id) {
            Some(SecretSource::File(path)) => file(id, path),
            Some(SecretSource::Variable(name)) => {
                use std::os::unix::ffi::OsStringExt;
                // As in BuildKit, a variable that is not set is an empty secret.
                Ok(std::env::var_os(name).map(OsStringExt::into_vec).unwrap_or_default())
            }
            Some(SecretSource::Either) | None => Err(format!("secret {id}: not found")),
        }
    }

    fn agent(&self, id: &str) -> Result<UnixStream, String> {
        match self.agents.get(id) {
            Some(agent) => agent.connect(),
            None => Err(format!("ssh agent {id}: not found")),
        }
    }

    fn output(&self, which: Destination, content: &mut dyn Read) -> Result<(), String> {
        let place = match which {
            Destination::Output(index) => self.places.get(index).cloned(),
            Destination::Cache(index) => self.caches.get(&index).cloned().map(Place::Directory),
        };
        output::write(place.unwrap_or(Place::Daemon), content)
    }
}
