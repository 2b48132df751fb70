//! Mounts of a step: made before it, let go of after it.
//!
//! ```text
//! scratch/
//!   steps/<id>/secrets/  values, on a file system in memory
//!   steps/<id>/<n>/      a mount of layers, where only a part of it is wanted
//!   steps/<id>/ssh-<n>   a socket
//! ```
//!
//! What is shown to a step is opened beneath the root of its source, by descriptors: no name, link
//! or race in there leads outside.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_archive::{copy_tree, open_in_root};
use gantry_oci::Digest;
use gantry_snapshot::{Scratch, Snapshots};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};
use tokio::net::UnixListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::OpError;
use crate::{
    Client, ClientError,
    executor::{StepMount, StepSource},
    graph::{Mount, MountKind},
    mounts::{Beginning, CacheMounts, Held},
    scratch::in_memory,
};

/// What steps' mounts are made of.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub snapshots: Snapshots,
    pub mounts: CacheMounts,
    /// Our directory below the exec root.
    pub scratch: PathBuf,
}

/// Whom a step's secrets and agents come from.
#[derive(Clone)]
pub(crate) struct Confidant {
    pub client: Arc<dyn Client>,
    /// Ids of agents that it has.
    pub agents: Vec<String>,
}

/// A step's mounts, and what they need while it runs.
#[derive(Default)]
pub(crate) struct StepMounts {
    /// For the executor.
    pub mounts: Vec<StepMount>,
    /// Variables that they bring along, secret ones too.
    pub env: Vec<String>,
    /// Places to be unmounted, and files to be removed.
    attached: Vec<PathBuf>,
    files: Vec<PathBuf>,
    directory: Option<PathBuf>,
    scratches: Vec<Scratch>,
    held: Vec<Held>,
    agents: Vec<AbortOnDropHandle<()>>,
}

/// The layers that a mount shows or begins with, for each mount of a step that has any.
pub(crate) type Sources = HashMap<usize, Vec<Digest>>;

/// Whose mounts.
pub(crate) struct Wanted<'a> {
    /// The step's id.
    pub id: &'a str,
    pub mounts: &'a [Mount],
    pub working_directory: &'a str,
    pub sources: &'a Sources,
    pub confidant: Option<&'a Confidant>,
    pub stop: &'a CancellationToken,
}

impl Workshop {
    /// Makes a step's mounts ready.
    pub(crate) async fn ready(&self, wanted: &Wanted<'_>) -> Result<StepMounts, OpError> {
        let mut ready = StepMounts::default();
        let mut caches = self.take_caches(wanted, &mut ready).await?;
        for (number, mount) in wanted.mounts.iter().enumerate() {
            let target = absolute(wanted.working_directory, &mount.target);
            let failed = |source| OpError::Mount { target: target.clone(), source };
            let layers = wanted.sources.get(&number).cloned().unwrap_or_default();
            let (source, read_only) = match &mount.kind {
                MountKind::Bind { source, writable, .. } => {
                    let shown = Shown { number, layers, source, writable: *writable };
                    (self.bind(wanted.id, shown, &mut ready).map_err(failed)?, !writable)
                }
                MountKind::Cache { read_only, .. } => {
                    let Some(opened) = caches.remove(&number) else { continue };
                    (opened, *read_only)
                }
                MountKind::Tmpfs { size_bytes } => {
                    let source = StepSource::Tmpfs(*size_bytes);
                    ready.mounts.push(StepMount { target, source, read_only: false });
                    continue;
                }
                MountKind::Secret { .. } => {
                    match self.secret(wanted, number, &mount.kind, &mut ready).await? {
                        Some(opened) => (opened, true),
                        None => continue,
                    }
                }
                MountKind::Ssh { .. } => {
                    match self.agent(wanted, number, mount, &target, &mut ready)? {
                        Some(opened) => (opened, false),
                        None => continue,
                    }
                }
            };
            let source = StepSource::Path(source);
            ready.mounts.push(StepMount { target, source, read_only });
        }
        Ok(ready)
    }

    /// Takes all cache mounts, in an order that is the same for all steps, so that no two wait for
    /// each other.
    async fn take_caches(
        &self,
        wanted: &Wanted<'_>,
        ready: &mut StepMounts,
    ) -> Result<HashMap<usize, OwnedFd>, OpError> {
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, mount) in wanted.mounts.iter().enumerate() {
            if let MountKind::Cache { id, from, source, .. } = &mount.kind {
                let mut key = id.clone();
                if from.is_some() {
                    let layers = wanted.sources.get(&number).map(Vec::as_slice).unwrap_or_default();
                    key = format!("{id}\0{source}\0{}", chain(layers));
                }
                by_key.entry(key).or_default().push(number);
            }
        }
        let mut opened = HashMap::new();
        for (key, numbers) in by_key {
            let Some(MountKind::Cache { sharing, .. }) =
                numbers.first().map(|number| &wanted.mounts[*number].kind)
            else {
                continue;
            };
            let held = tokio::select! {
                held = self.mounts.take(&key, *sharing) => held,
                () = wanted.stop.cancelled() => return Err(OpError::Cancelled),
            };
            for number in numbers {
                let layers = wanted.sources.get(&number).cloned().unwrap_or_default();
                let copy = self.open_cache(&held, &wanted.mounts[number], &layers)?;
                opened.insert(number, copy);
            }
            ready.held.push(held);
        }
        Ok(opened)
    }

    fn open_cache(
        &self,
        held: &Held,
        mount: &Mount,
        layers: &[Digest],
    ) -> Result<OwnedFd, OpError> {
        let MountKind::Cache { id, source, mode, uid, gid, .. } = &mount.kind else {
            return Err(OpError::Graph("a cache mount that is none"));
        };
        let mut fill = |target: &OwnedFd| {
            if layers.is_empty() {
                return Ok(());
            }
            let root = self.snapshots.mount_layers(layers).map_err(io::Error::other)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let from = open_in_root(root.as_fd(), source.as_bytes(), flags)?;
            copy_tree(from.as_fd(), target.as_fd()).map_err(io::Error::other)
        };
        let beginning = Beginning { mode: *mode, uid: *uid, gid: *gid, fill: &mut fill };
        let failed = |source| OpError::Mount { target: mount.target.clone(), source };
        held.open(id, beginning).map_err(failed)
    }

    fn bind(&self, id: &str, shown: Shown<'_>, ready: &mut StepMounts) -> io::Result<OwnedFd> {
        let whole = shown.source.trim_matches('/').is_empty();
        let root = if shown.writable {
            let scratch = self.snapshots.scratch(&shown.layers).map_err(io::Error::other)?;
            let root = scratch.root().try_clone_to_owned()?;
            ready.scratches.push(scratch);
            root
        } else {
            self.snapshots.mount_layers_for_use(&shown.layers).map_err(io::Error::other)?
        };
        if whole {
            return Ok(root);
        }
        // A part of a mount can be bound elsewhere only if the mount is attached somewhere.
        let place = self.step_directory(id, ready)?.join(shown.number.to_string());
        fs::create_dir(&place)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&root, "", CWD, &place, flags)?;
        ready.attached.push(place);
        Ok(open_in_root(root.as_fd(), shown.source.as_bytes(), OFlags::PATH)?)
    }

    async fn secret(
        &self,
        wanted: &Wanted<'_>,
        number: usize,
        kind: &MountKind,
        ready: &mut StepMounts,
    ) -> Result<Option<OwnedFd>, OpError> {
        let MountKind::Secret { id, file, variable, required, mode, uid, gid } = kind else {
            return Ok(None);
        };
        let value = match wanted.confidant {
            Some(confidant) => confidant.client.secret(id).await,
            None => Err(ClientError::NotFound(id.clone())),
        };
        let value = match value {
            Ok(value) => value,
            Err(ClientError::NotFound(_)) if !required => return Ok(None),
            Err(ClientError::NotFound(_)) => return Err(OpError::Secret(id.clone())),
            Err(source) => {
                return Err(OpError::Client { what: format!("reading secret {id}"), source });
            }
        };
        if !variable.is_empty() {
            ready.env.push(format!("{variable}={}", String::from_utf8_lossy(&value)));
        }
        if !file {
            return Ok(None);
        }
        let failed = OpError::io("keeping a secret");
        let directory = self.step_directory(wanted.id, ready).map_err(&failed)?.join("secrets");
        if !ready.attached.contains(&directory) {
            in_memory(&directory).map_err(&failed)?;
            ready.attached.push(directory.clone());
        }
        let owned = Owned { mode: *mode, uid: *uid, gid: *gid };
        let path = directory.join(number.to_string());
        Ok(Some(write_secret(&path, &value, &owned).map_err(failed)?))
    }

    fn agent(
        &self,
        wanted: &Wanted<'_>,
        number: usize,
        mount: &Mount,
        target: &str,
        ready: &mut StepMounts,
    ) -> Result<Option<OwnedFd>, OpError> {
        let MountKind::Ssh { id, required, mode, uid, gid } = &mount.kind else { return Ok(None) };
        let id = if id.is_empty() { "default" } else { id };
        let confidant =
            wanted.confidant.filter(|confidant| confidant.agents.iter().any(|agent| agent == id));
        let Some(confidant) = confidant else {
            return if *required { Err(OpError::Ssh(id.to_owned())) } else { Ok(None) };
        };
        let failed = OpError::io("offering an ssh agent");
        let directory = self.step_directory(wanted.id, ready).map_err(&failed)?;
        let path = directory.join(format!("ssh-{number}"));
        ready.files.push(path.clone());
        let listener = listen(&path).map_err(&failed)?;
        let owned = Owned { mode: *mode, uid: *uid, gid: *gid };
        owned.apply(&path).map_err(&failed)?;
        let opened = openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let opened = opened.map_err(|errno| failed(errno.into()))?;
        let serving = serve_agent(listener, Arc::clone(&confidant.client), id.to_owned());
        ready.agents.push(AbortOnDropHandle::new(tokio::spawn(serving)));
        if !ready.env.iter().any(|variable| variable.starts_with("SSH_AUTH_SOCK=")) {
            ready.env.push(format!("SSH_AUTH_SOCK={target}"));
        }
        Ok(Some(opened))
    }

    /// The step's own directory.
    fn step_directory(&self, id: &str, ready: &mut StepMounts) -> io::Result<PathBuf> {
        let path = self.scratch.join("steps").join(id);
        if ready.directory.is_none() {
            fs::create_dir(&path)?;
            ready.directory = Some(path.clone());
        }
        Ok(path)
    }
}

/// A part of layers to be shown.
struct Shown<'a> {
    number: usize,
    layers: Vec<Digest>,
    source: &'a str,
    writable: bool,
}

/// Whose a file is.
struct Owned {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Owned {
    fn apply(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode & 0o7777))
    }
}

impl Drop for StepMounts {
    fn drop(&mut self) {
        self.agents.clear();
        self.mounts.clear();
        for place in &self.attached {
            // What still shows it keeps it; it is out of sight at once.
            if let Err(errno) = unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                tracing::error!(place = %place.display(), %errno, "could not unmount");
            }
            drop(fs::remove_dir(place));
        }
        for file in &self.files {
            if let Err(error) = fs::remove_file(file)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(file = %file.display(), %error, "could not remove");
            }
        }
        if let Some(directory) = &self.directory {
            drop(fs::remove_dir(directory));
        }
    }
}

/// The working directory's meaning of a path, without `.` and `..`.
fn absolute(working_directory: &str, path: &str) -> String {
    let whole =
        if path.starts_with('/') { path.to_owned() } else { format!("{working_directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn chain(layers: &[Digest]) -> String {
    gantry_oci::ChainId::of(layers).map_or_else(String::new, |chain| chain.0.to_string())
}

fn write_secret(path: &Path, value: &[u8], owned: &Owned) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, value)?;
    owned.apply(path)?;
    Ok(openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Listens at a path of any length.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = gantry_archive::open_root(parent)?;
    let short = format!("/proc/self/fd/{}", parent.as_raw_fd());
    UnixListener::bind(Path::new(&short).join(name))
}

/// Joins each connection with one of the client's agent.
pub(crate) async fn serve_agent(listener: UnixListener, client: Arc<dyn Client>, id: String) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        // Those that have ended are let go of.
        while connections.try_join_next().is_some() {}
        let (client, id) = (Arc::clone(&client), id.clone());
        connections.spawn(async move {
            if let Ok(mut far) = client.ssh(&id).await {
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn targets() {
        for (path, want) in [
            ("/a", "/a"),
            ("b", "/w/b"),
            ("../b/./c", "/b/c"),
            ("../../../../etc", "/etc"),
            ("/a/../../x", "/x"),
        ] {
            assert_eq!(absolute("/w", path), want, "{path}");
        }
    }
}
