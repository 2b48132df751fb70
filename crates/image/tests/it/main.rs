//! Images through archives, names and removal; podman as the oracle of `save`. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

mod archives;
mod lifecycle;
mod podman;
mod registry;

use std::{
    fs,
    io::{Cursor, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use gantry_archive::{Header, TarWriter};
use gantry_content::Content;
use gantry_image::{ImageError, ImageEvent, Images, Loaded};
use gantry_oci::{ContainerConfig, Digest, History, ImageConfig, Reference, RootFs};
use gantry_policy::Gate;
use gantry_snapshot::Snapshots;
use gantry_store::Store;

/// Whether the test may unpack devices and owners; says so when not.
pub(crate) fn root() -> bool {
    let root = fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}

pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) content: Content,
    pub(crate) events: Arc<Mutex<Vec<ImageEvent>>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::guarded(Gate::open())
    }

    /// One into which only comes what a gate lets in.
    pub(crate) fn guarded(gate: Gate) -> Self {
        Self::at(tempfile::tempdir().unwrap(), gate)
    }

    fn at(dir: tempfile::TempDir, gate: Gate) -> Self {
        let store = Store::open(&dir.path().join("store.db")).unwrap();
        let content = Content::open(&dir.path().join("content")).unwrap();
        let snapshots = Snapshots::open(&dir.path().join("snapshots")).unwrap();
        let events: Arc<Mutex<Vec<ImageEvent>>> = Arc::default();
        let told = Arc::clone(&events);
        let on_event = Arc::new(move |event| told.lock().unwrap().push(event));
        let parts = (content.clone(), snapshots.clone());
        let images =
            Images::open_keeping(store, parts.0, parts.1, on_event, Vec::new(), gate).unwrap();
        Self { dir, images, snapshots, content, events }
    }

    /// Closes everything and opens it again, as a daemon's restart does.
    pub(crate) fn reopen(self) -> Self {
        self.images.sync().unwrap();
        let Self { dir, images, snapshots, content, events: _ } = self;
        drop((images, snapshots, content));
        // The thread that syncs behind a registration may hold the store a moment longer.
        for _ in 0..200 {
            match Store::open(&dir.path().join("store.db")) {
                Ok(_) => break,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        }
        Self::at(dir, Gate::open())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Loaded, ImageError> {
        self.images.load(Box::new(Cursor::new(archive.to_vec())), &mut |_| {})
    }

    pub(crate) fn save(&self, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut archive = Vec::new();
        self.images.save(&names, &mut archive).unwrap();
        archive
    }

    /// Told events as `action name`, and forgets them.
    pub(crate) fn told(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events
            .iter()
            .map(|event| format!("{} {}", event.action.name(), event.attributes["name"]))
            .collect()
    }

    /// How many blobs and layers there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.content.list().unwrap().len(), self.snapshots.layers().unwrap().len())
    }
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse::<Reference>().unwrap().or_latest()
}

pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, data) in files {
        let header = if name.ends_with('/') {
            Header::directory(name.as_bytes())
        } else {
            Header::file(name.as_bytes(), 0)
        };
        tar.data(&Header { mode: 0o755, ..header }, data).unwrap();
    }
    tar.finish().unwrap()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-nc")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&data).unwrap());
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    out
}

/// Layers of a busybox image: the program with some links, and a second layer on top.
pub(crate) fn busybox_layers() -> Vec<Vec<u8>> {
    let program = fs::read("/bin/busybox").unwrap();
    let mut below = vec![
        ("bin/", b"".as_slice()),
        ("bin/busybox", &program),
        ("bin/sh", &program),
        ("etc/", b""),
    ];
    below.push(("etc/passwd", b"root:x:0:0::/:/bin/sh\n"));
    vec![tar(&below), tar(&[("etc/", b""), ("etc/.wh.passwd", b""), ("etc/motd", b"hello\n")])]
}

pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let step = |text: &str, empty_layer| History {
        created: Some("2024-05-06T07:08:09Z".into()),
        created_by: text.into(),
        empty_layer,
        ..History::default()
    };
    let config = ImageConfig {
        architecture: gantry_oci::Platform::host().architecture,
        os: "linux".into(),
        created: Some("2024-05-06T07:08:09Z".into()),
        config: Some(ContainerConfig {
            cmd: Some(vec!["sh".into()]),
            labels: [("who".to_owned(), "me".to_owned())].into(),
            ..ContainerConfig::default()
        }),
        history: vec![step("ADD base", false), step("CMD sh", true), step("ADD top", false)],
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| Digest::of(layer)).collect(),
            ..RootFs::default()
        },
        ..ImageConfig::default()
    };
    serde_json::to_vec(&config).unwrap()
}

/// What `docker save` wrote before version 25.
pub(crate) fn docker_archive(tag: &str, layers: &[Vec<u8>], stored: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers);
    let paths: Vec<String> = (0..stored.len()).map(|n| format!("{n:064}/layer.tar")).collect();
    let id = Digest::of(&config);
    let manifest = format!(
        r#"[{{"Config":"{}.json","RepoTags":["{tag}"],"Layers":{}}}]"#,
        id.hex(),
        serde_json::to_string(&paths).unwrap()
    );
    let config_path = format!("{}.json", id.hex());
    let mut files: Vec<(&str, &[u8])> = vec![(&config_path, &config)];
    for (path, layer) in paths.iter().zip(stored) {
        files.push((path, layer));
    }
    files.push(("manifest.json", manifest.as_bytes()));
    tar(&files)
}
