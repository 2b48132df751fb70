//! `create`: a request becomes a record, a root file system and volumes.

pub(crate) mod check;
mod merge;
pub(crate) mod networking;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use gantry_api_types::container::{ContainerConfig, ContainerCreateBody, ContainerCreateResponse};
use gantry_api_types::host_config::HostConfig;
use gantry_api_types::{NullableList as _, NullableMap as _};
use gantry_fault::chain;
use gantry_image::Image;
use gantry_logs::LogConfig;
use gantry_oci::Platform;
use gantry_snapshot::Rootfs;
use gantry_store::Durability;
use gantry_volume::{CreateVolume, Created, Volume};

use crate::container::driver::Driver;
use crate::container::phase::Phase;
use crate::container::{Cell, View, attributes};
use crate::engine::Inner;
use crate::error::Invalid;
use crate::events::{EventKind, now_ns};
use crate::record::{ContainerRecord, CreationRecord, MountRecord, NetworkMode, StateRecord};
use crate::spec::points::{self, NewVolume, Points};
use crate::{CreateError, Engine, identity, names};

/// What `POST /containers/create` asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Name, with or without the leading slash; generated when absent.
    pub name: Option<String>,
    /// The body, in the shape of the newest API version.
    pub body: ContainerCreateBody,
    /// `os/arch[/variant]`; any when absent.
    pub platform: Option<String>,
}

/// A name that is given back unless the container comes to be.
struct Claim<'a> {
    engine: &'a Inner,
    id: String,
    name: String,
    kept: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.engine.registry.release(&self.name, &self.id);
        }
    }
}

impl Engine {
    /// Makes a container. Goes on to the end when the caller gives up, so that nothing is left
    /// half made.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is left of the container then.
    pub async fn create(
        &self,
        request: CreateRequest,
    ) -> Result<ContainerCreateResponse, CreateError> {
        let engine = self.clone();
        let made = self.0.work.spawn(async move { engine.create_now(request).await });
        made.await.unwrap_or(Err(CreateError::Closed))
    }

    async fn create_now(
        &self,
        request: CreateRequest,
    ) -> Result<ContainerCreateResponse, CreateError> {
        let engine = &self.0;
        let ContainerCreateBody { mut config, host_config, networking_config } = request.body;
        let mut host = host_config.unwrap_or_default();
        let (image, _lease) = engine.parts.images.resolve_leased(&config.image)?;
        check_platform(&image, &config.image, request.platform.as_deref())?;
        check::exposed(&config, &host)?;
        if let Some(defaults) = &image.config.config {
            merge::image_defaults(&mut config, defaults);
        }
        let (path, args) = merge::command(&config).ok_or(CreateError::NoCommand)?;
        check::fill_host(engine, &mut host);
        networking::name_by_id(engine, &mut host)?;
        let warnings = check::check(engine, &config, &host)?;
        let log = LogConfig::from_docker(&host.log_config.kind, &host.log_config.config)?;
        let Points { mounts, mut volumes } =
            points::read(&config, &host, &engine.config.data_root, |other| {
                let cell = engine.registry.find(other).map_err(CreateError::Lookup)?;
                Ok::<_, CreateError>(cell.record().mounts.clone())
            })?;
        for volume in volumes.iter_mut().filter(|volume| volume.name.is_empty()) {
            (volume.name, volume.anonymous) = (names::new_id(), true);
        }
        let mut claim = claim(engine, request.name.as_deref())?;
        name_host(engine, &mut config, &host, &claim.id)?;
        let endpoints = networking_config.unwrap_or_default().endpoints_config;
        let endpoints = endpoints.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
        let endpoints = networking::endpoints(engine, &host, endpoints)?;
        let links = networking::links(engine, &mut host)?;
        let mut record = ContainerRecord {
            id: claim.id.clone(),
            name: claim.name.clone(),
            created_ns: now_ns(),
            image: image.id.clone(),
            layers: image.lowers(),
            path,
            args,
            config,
            host,
            endpoints,
            links,
            mounts,
            log,
        };
        record.log = log_of(engine, &record);
        self.make(record, volumes).await?;
        claim.kept = true;
        Ok(ContainerCreateResponse { id: claim.id.clone(), warnings })
    }

    /// Makes what the record says; takes everything back on an error.
    async fn make(
        &self,
        mut record: ContainerRecord,
        volumes: Vec<NewVolume>,
    ) -> Result<(), CreateError> {
        let engine = &self.0;
        let id = record.id.clone();
        let noted = note_volumes(engine, &id, &volumes).await?;
        let made = match ready_volumes(engine, &mut record.mounts, volumes).await {
            Ok(made) => made,
            Err(error) => {
                take_back(engine, &record, Vec::new()).await;
                return Err(error);
            }
        };
        let record = Arc::new(record);
        let done = async {
            make_dir(&engine.config.container_dir(&id))?;
            let prepare = async { engine.parts.snapshots.prepare(&id, &record.layers) };
            let (rootfs, saved) = tokio::join!(prepare, save(engine, &record, noted));
            saved?;
            fill(engine, &record, rootfs?).await?;
            if noted { complete(engine, &record).await } else { Ok(()) }
        };
        if let Err(error) = done.await {
            take_back(engine, &record, made).await;
            return Err(error);
        }
        let view = View {
            record: Arc::clone(&record),
            state: Arc::new(StateRecord::default()),
            phase: Phase::Created,
            task: None,
        };
        let (cell, inbox) = Cell::new(view);
        engine.registry.insert(Arc::clone(&cell));
        for volume in made {
            engine.tell_volume("create", &volume.name, &volume.driver);
        }
        engine.events.publish(EventKind::Container, "create", id, attributes(&record));
        engine.work.spawn(Driver::new(Arc::clone(engine), cell, inbox).run());
        Ok(())
    }
}

fn check_platform(image: &Image, name: &str, wanted: Option<&str>) -> Result<(), CreateError> {
    let Some(text) = wanted.filter(|text| !text.is_empty()) else { return Ok(()) };
    let wanted = Platform::from_str(text)
        .map_err(|error| Invalid(format!("invalid platform {text:?}: {error}")))?;
    let found = image.config.platform();
    if found.matches(&wanted) {
        return Ok(());
    }
    Err(CreateError::Platform {
        image: name.to_owned(),
        found: found.to_string(),
        wanted: wanted.to_string(),
    })
}

fn claim<'a>(engine: &'a Inner, wanted: Option<&str>) -> Result<Claim<'a>, CreateError> {
    let id = names::new_id();
    let wanted = wanted.filter(|name| !name.is_empty());
    let name = match wanted.map(|name| name.strip_prefix('/').unwrap_or(name)) {
        None => engine.registry.claim_generated(&id),
        Some(name) => {
            if !names::is_valid(name) {
                return Err(CreateError::InvalidName(name.to_owned()));
            }
            let taken = |holder| CreateError::NameInUse { name: name.to_owned(), holder };
            engine.registry.claim(name, &id).map_err(taken)?;
            name.to_owned()
        }
    };
    Ok(Claim { engine, id, name, kept: false })
}

/// Gives a container without a host name the one it will see.
pub(crate) fn name_host(
    engine: &Inner,
    config: &mut ContainerConfig,
    host: &HostConfig,
    id: &str,
) -> Result<(), CreateError> {
    match NetworkMode::parse(&host.network_mode) {
        NetworkMode::Container(other) => {
            if let Ok(other) = engine.registry.find(other) {
                let other = other.record();
                config.hostname.clone_from(&other.config.hostname);
                config.domainname.clone_from(&other.config.domainname);
            }
        }
        NetworkMode::Host if config.hostname.is_empty() => {
            let uname = rustix::system::uname();
            config.hostname = uname.nodename().to_string_lossy().into_owned();
        }
        _ if config.hostname.is_empty() => config.hostname = id[..12].to_owned(),
        _ => {}
    }
    Ok(())
}

/// The log with its file and the attributes that its options ask for.
fn log_of(engine: &Inner, record: &ContainerRecord) -> LogConfig {
    let dir = engine.config.container_dir(&record.id);
    let name = match record.log {
        LogConfig::Local(_) => format!("{}-local.log", record.id),
        _ => format!("{}-json.log", record.id),
    };
    let attrs = record.log.file().map(|file| log_attrs(&file.keys, record)).unwrap_or_default();
    record.log.clone().at(dir.join(name)).with_attrs(attrs)
}

fn log_attrs(keys: &gantry_logs::AttrKeys, record: &ContainerRecord) -> BTreeMap<String, String> {
    let regex =
        |text: &Option<String>| text.as_deref().and_then(|text| regex_lite::Regex::new(text).ok());
    let mut attrs = BTreeMap::new();
    let labels = regex(&keys.labels_regex);
    for (key, value) in record.config.labels.pairs() {
        if keys.labels.contains(key) || labels.as_ref().is_some_and(|r| r.is_match(key)) {
            attrs.insert(key.clone(), value.clone());
        }
    }
    let env = regex(&keys.env_regex);
    for variable in record.config.env.items() {
        let Some((key, value)) = variable.split_once('=') else { continue };
        if keys.env.iter().any(|k| k == key) || env.as_ref().is_some_and(|r| r.is_match(key)) {
            attrs.insert(key.to_owned(), value.to_owned());
        }
    }
    if let Some(tag) = keys.tag.as_deref().filter(|tag| !tag.is_empty()) {
        // The fields of the template that name the container; the rest stays as it is written.
        let tag = tag
            .replace("{{.ID}}", record.short_id())
            .replace("{{.FullID}}", &record.id)
            .replace("{{.Name}}", &record.name)
            .replace("{{.ImageName}}", &record.config.image)
            .replace("{{.ImageFullID}}", record.image.as_str());
        attrs.insert("tag".to_owned(), tag);
    }
    attrs
}

/// Notes the anonymous volumes before they are made; answers whether there are any.
async fn note_volumes(
    engine: &Inner,
    id: &str,
    volumes: &[NewVolume],
) -> Result<bool, CreateError> {
    let anonymous = volumes.iter().filter(|volume| volume.anonymous);
    let volumes: Vec<String> = anonymous.map(|volume| volume.name.clone()).collect();
    if volumes.is_empty() {
        return Ok(false);
    }
    let mut batch = engine.parts.store.batch();
    batch.put(id, &CreationRecord { volumes });
    engine.parts.store.commit_async(batch, Durability::Relaxed).await?;
    Ok(true)
}

/// Takes the note away: what is there now stays.
async fn complete(engine: &Inner, record: &ContainerRecord) -> Result<(), CreateError> {
    let mut batch = engine.parts.store.batch();
    batch.delete::<CreationRecord>(&record.id);
    Ok(engine.parts.store.commit_async(batch, durability(record)).await?)
}

/// Makes the volumes, on a thread that may block when a plugin could be asked.
async fn ready_volumes(
    engine: &Arc<Inner>,
    mounts: &mut Vec<MountRecord>,
    wanted: Vec<NewVolume>,
) -> Result<Vec<Volume>, CreateError> {
    let known = |volume: &NewVolume| {
        let local = |driver: &str| matches!(driver, "" | gantry_volume::LOCAL);
        let found = engine.parts.volumes.get(&volume.name);
        local(&volume.driver) && (volume.anonymous || found.is_ok_and(|volume| volume.is_local()))
    };
    if wanted.iter().all(known) {
        return make_volumes(engine, mounts, wanted);
    }
    let (engine, mut own) = (Arc::clone(engine), std::mem::take(mounts));
    let made = tokio::task::spawn_blocking(move || {
        let made = make_volumes(&engine, &mut own, wanted);
        (made, own)
    });
    let (made, own) = made.await.map_err(|_| CreateError::Closed)?;
    *mounts = own;
    made
}

/// Makes the volumes that are not there; gives those it made.
fn make_volumes(
    engine: &Inner,
    mounts: &mut [MountRecord],
    wanted: Vec<NewVolume>,
) -> Result<Vec<Volume>, CreateError> {
    let mut made: Vec<Volume> = Vec::new();
    for wanted in wanted {
        let created = engine.parts.volumes.create(CreateVolume {
            name: Some(wanted.name),
            driver: wanted.driver,
            labels: wanted.labels,
            options: wanted.options,
            anonymous: wanted.anonymous,
        });
        let Created { volume, is_new } = match created {
            Ok(created) => created,
            Err(error) => {
                remove_volumes(engine, &made);
                return Err(error.into());
            }
        };
        for mount in mounts.iter_mut().filter(|mount| mount.target == wanted.target) {
            mount.source.clone_from(&volume.name);
            mount.driver.clone_from(&volume.driver);
            // Docker notes that such a volume is shared between containers.
            if wanted.named && volume.is_local() && mount.mode.is_empty() {
                "z".clone_into(&mut mount.mode);
            }
        }
        if is_new {
            made.push(volume);
        }
    }
    Ok(made)
}

fn remove_volumes(engine: &Inner, volumes: &[Volume]) {
    for volume in volumes {
        let users = |name: &str| engine.volume_users(name);
        if let Err(error) = engine.parts.volumes.remove(&volume.name, true, &users) {
            tracing::warn!(error = chain(&error), "removing volume {}", volume.name);
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), CreateError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().mode(0o710).create(dir);
    made.map_err(|source| CreateError::Directory { path: dir.to_owned(), source })
}

/// Nobody expects a container of `--rm` to be there after a power cut.
fn durability(record: &ContainerRecord) -> Durability {
    match record.host.auto_remove {
        true => Durability::Relaxed,
        false => Durability::Durable,
    }
}

/// Saves the record. With a note of the creation it becomes durable with that note's deletion, which
/// commits all before it.
async fn save(engine: &Inner, record: &ContainerRecord, noted: bool) -> Result<(), CreateError> {
    let mut batch = engine.parts.store.batch();
    batch.put(&record.id, record).put(&record.id, &StateRecord::default());
    let durability = if noted { Durability::Relaxed } else { durability(record) };
    Ok(engine.parts.store.commit_async(batch, durability).await?)
}

/// Fills new volumes from the image, and makes a working directory that the image lacks.
async fn fill(
    engine: &Arc<Inner>,
    record: &Arc<ContainerRecord>,
    rootfs: Rootfs,
) -> Result<(), CreateError> {
    let copies = record.volumes().any(|mount| !mount.no_copy && mount.subpath.is_empty());
    let cwd = record.config.working_dir.as_str();
    let key = (record.image.clone(), cwd.to_owned());
    let has_cwd = matches!(cwd, "" | "/") || engine.known_dirs().contains(&key);
    if !copies && has_cwd {
        return Ok(());
    }
    let (engine, record) = (Arc::clone(engine), Arc::clone(record));
    let filled = tokio::task::spawn_blocking(move || -> Result<(), CreateError> {
        let image = engine.parts.snapshots.mount_layers(&record.layers)?;
        for mount in record.volumes().filter(|m| !m.no_copy && m.subpath.is_empty()) {
            match identity::dir_in_root(image.as_fd(), &mount.target) {
                Ok(Some(dir)) => engine.parts.volumes.copy_up(&mount.source, dir.as_fd())?,
                Err(error) if error.kind() == ErrorKind::NotADirectory => {
                    return Err(covers_a_file(mount).into());
                }
                // What is not in the image, or cannot be reached, has nothing to copy.
                Ok(None) | Err(_) => {}
            }
        }
        let cwd = record.config.working_dir.as_str();
        if has_cwd {
            return Ok(());
        }
        if let Ok(Some(_)) = identity::dir_in_root(image.as_fd(), cwd) {
            engine.known_dirs().insert(key);
            return Ok(());
        }
        let root = engine.parts.snapshots.mount_detached(&rootfs)?;
        identity::make_dirs(root.as_fd(), cwd).map_err(|error| {
            Invalid(format!("cannot make the working directory '{cwd}': {error}"))
        })?;
        Ok(())
    });
    filled.await.map_err(|_| CreateError::Closed)?
}

/// Docker's words for a volume at the place of a file of the image.
fn covers_a_file(mount: &MountRecord) -> Invalid {
    let target = &mount.target;
    Invalid(match mount.mode.is_empty() && mount.anonymous {
        true => format!("cannot mount volume over existing file, file exists {target}"),
        false => format!("source {target} is not directory"),
    })
}

async fn take_back(engine: &Arc<Inner>, record: &ContainerRecord, volumes: Vec<Volume>) {
    let id = record.id.as_str();
    if let Err(error) = engine.parts.snapshots.remove(id) {
        tracing::warn!(id, error = chain(&error), "taking back a root file system");
    }
    let _ = std::fs::remove_dir_all(engine.config.container_dir(id));
    if !volumes.is_empty() {
        let engine = Arc::clone(engine);
        // A panic in it was logged by the runtime.
        let _ = tokio::task::spawn_blocking(move || remove_volumes(&engine, &volumes)).await;
    }
    let mut batch = engine.parts.store.batch();
    batch.delete::<ContainerRecord>(id).delete::<StateRecord>(id).delete::<CreationRecord>(id);
    if let Err(error) = engine.parts.store.commit_async(batch, Durability::Relaxed).await {
        tracing::warn!(id, error = chain(&error), "taking back a record");
    }
}
