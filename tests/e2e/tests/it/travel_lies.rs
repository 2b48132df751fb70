//! Servers that lie, as the daemon meets them: clear errors, nothing half made is left, and nobody
//! hears a secret that is not for them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::{Digest, image::media};
use gantry_rig::daemon::Namespace;
use gantry_rig::leaks::Left;
use gantry_rig::liar::{Asked, Liar, Say};
use gantry_rig::registry::{PASSWORD, Registry, Server, USER};
use gantry_rig::{Client, Daemon, Kind, Net, images};
use serde_json::{Value, json};

use crate::travel_faults::{SmallDisk, entries, listed, small_tar, tells_of_space};
use crate::world::{digest_of, patient};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// An image as a registry tells it; tests change what they lie about.
#[derive(Clone, Default)]
struct Told {
    /// Content by the digest that it is asked for by.
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (&'static str, Vec<u8>)>,
    manifest: Value,
    layer: Vec<u8>,
}

impl Told {
    /// An image of one layer, a tar that is not compressed yet.
    fn new(tar: &[u8]) -> Self {
        let layer = gzip(|out| out.write_all(tar));
        Self::of(layer, &Digest::of(tar))
    }

    fn of(layer: Vec<u8>, diff_id: &Digest) -> Self {
        let config = json!({
            "architecture": gantry_oci::Platform::host().architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
        });
        let mut told = Self::default();
        let config = told.blob(config.to_string().into_bytes());
        let blob = told.blob(layer.clone());
        told.layer = layer;
        told.manifest = json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST,
            "config": descriptor(media::CONFIG, &config.0, config.1),
            "layers": [descriptor(media::LAYER_GZIP, &blob.0, blob.1)],
        });
        told
    }

    fn blob(&mut self, data: Vec<u8>) -> (String, usize) {
        let (digest, length) = (Digest::of(&data).to_string(), data.len());
        self.blobs.insert(digest.clone(), data);
        (digest, length)
    }

    /// What the tag points at; gives its digest.
    fn put(&mut self, kind: &'static str, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes).to_string();
        for name in [digest.clone(), "1".to_owned()] {
            self.manifests.insert(name, (kind, bytes.clone()));
        }
        digest
    }

    fn answer(&self, asked: &Asked) -> Say {
        let last = asked.target.rsplit('/').next().unwrap_or_default();
        let unknown = || Say::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"no"}]}"#);
        if asked.target == "/v2/" {
            return Say::new(200, "{}");
        }
        if asked.target.contains("/manifests/") {
            return self.manifests.get(last).map_or_else(unknown, |(kind, bytes)| {
                Say::new(200, bytes.clone()).with("Content-Type", *kind)
            });
        }
        self.blobs.get(last).map_or_else(unknown, |data| Say::new(200, data.clone()))
    }
}

fn descriptor(kind: &str, digest: &str, size: usize) -> Value {
    json!({"mediaType": kind, "digest": digest, "size": size})
}

fn gzip(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write(&mut out).unwrap();
    out.finish().unwrap()
}

fn alone(options: &[&str]) -> (Namespace, Daemon) {
    gantry_rig::need_root();
    let netns = Namespace::new().unwrap();
    let daemon = Daemon::start(Kind::Gantry, Net::Of(netns.pid()), options).unwrap();
    (netns, daemon)
}

/// What a daemon keeps: images, layers, blobs, and what is under way.
fn kept(daemon: &Daemon) -> (String, usize, usize, Left) {
    let data = daemon.root.join("data");
    let layers = entries(&data.join("snapshots/layers"));
    (listed(&daemon.client()), layers, entries(&data.join("content/ingest")), Left::of(daemon))
}

/// A lie: what it is about, what is told, and what the error says of it.
type Lie = (&'static str, Told, &'static str);

impl Told {
    /// The same with something changed.
    fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut lie = self.clone();
        change(&mut lie);
        if lie.manifests.is_empty() {
            let manifest = lie.manifest.clone();
            let _ = lie.put(media::MANIFEST, &manifest);
        }
        lie
    }

    /// The bytes of what the manifest points at.
    fn pointed(&mut self, pointer: &str) -> &mut Vec<u8> {
        let digest = self.manifest.pointer(pointer).unwrap()["digest"].as_str().unwrap();
        self.blobs.get_mut(digest).unwrap()
    }
}

fn wrong_blobs(honest: &Told) -> Vec<Lie> {
    let (config, layer) = ("/config", "/layers/0");
    let other = Digest::of(b"other");
    let half = &honest.layer[..honest.layer.len() / 2];
    let size = |pointer: &'static str, size: u64| {
        honest.but(|lie| lie.manifest.pointer_mut(pointer).unwrap()["size"] = json!(size))
    };
    vec![
        ("diff ID", Told::of(honest.layer.clone(), &other).but(|_| ()), "invalid diffID"),
        ("no gzip", Told::of(b"\x1f\x8bno gzip at all".to_vec(), &other).but(|_| ()), "archive"),
        ("half a gzip", Told::of(half.to_vec(), &other).but(|_| ()), "archive"),
        ("configuration", honest.but(|lie| *lie.pointed(config) = b"{}".to_vec()), "size is 2"),
        ("configuration's bytes", honest.but(|lie| lie.pointed(config)[9] ^= 1), "digest is"),
        ("configuration's size", size(config, 7), "expected 7 bytes"),
        ("layer's bytes", honest.but(|lie| lie.pointed(layer)[99] ^= 1), "digest is"),
        ("layer's size, less", size(layer, 99), "expected 99 bytes"),
        ("layer's size, more", size(layer, 9_999_999), "expected 9999999 bytes"),
        ("layer's size, endless", size(layer, u64::MAX), "expected 18446744073709551615 bytes"),
    ]
}

fn wrong_documents(honest: &Told) -> Vec<Lie> {
    let other = Digest::of(b"other");
    let index = |kind: &str, digest: &str| {
        let manifests = [descriptor(kind, digest, 300)];
        json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": manifests})
    };
    let missing = honest.but(|lie| {
        let digest = lie.manifest["layers"][0]["digest"].as_str().unwrap();
        lie.blobs.remove(digest);
    });
    let twice = honest.but(|lie| {
        let again = lie.manifest["layers"][0].clone();
        lie.manifest["layers"].as_array_mut().unwrap().push(again);
    });
    let nested = honest.but(|lie| {
        let digest = lie.put(media::INDEX, &index(media::MANIFEST, other.as_str()));
        let _ = lie.put(media::INDEX, &index(media::INDEX, &digest));
    });
    let itself = honest.but(|lie| {
        let _ = lie.put(media::INDEX, &index(media::MANIFEST, other.as_str()));
        let same = lie.manifests["1"].clone();
        lie.manifests.insert(other.to_string(), same);
    });
    vec![
        ("a layer that is missing", missing, "unknown: no"),
        ("one layer too many", twice, "layers"),
        ("an index in an index", nested, "not supported"),
        ("an index that holds itself", itself, "digest is"),
    ]
}

#[test]
fn lies_about_an_image_end_a_pull() {
    let (netns, daemon) = alone(&[]);
    let client = patient(&daemon);
    let told = Arc::new(Mutex::new(Told::default()));
    let says = Arc::clone(&told);
    let liar = Liar::start(netns.pid(), move |asked| says.lock().unwrap().answer(asked)).unwrap();
    let honest = Told::new(&small_tar());
    let image = format!("{}/lie:1", liar.address);
    let before = kept(&daemon);
    for (what, lie, want) in wrong_blobs(&honest).into_iter().chain(wrong_documents(&honest)) {
        *told.lock().unwrap() = lie;
        let asked = liar.asked().len();
        let ran = client.docker(&["pull", "-q", &image]);
        assert!(ran.code == 1 && ran.stderr.contains(want), "{what}: {ran:?}");
        let asked = liar.asked().len() - asked;
        assert!(asked < 40, "{what}: {asked} requests");
        let _ = client.docker(&["image", "prune", "-f"]).ok();
        assert_eq!(kept(&daemon), before, "{what}: something is left");
    }
    *told.lock().unwrap() = honest.but(|_| ());
    let _ = client.docker(&["pull", "-q", &image]).ok();
}

/// Many megabytes in a few kilobytes, of no zeros, for which no room would be taken.
fn bomb() -> Told {
    let mut header = tar::Header::new_gnu();
    let length: u64 = 1 << 40;
    header.set_path("sevens").unwrap();
    header.set_mode(0o644);
    header.set_size(length);
    header.set_cksum();
    let layer = gzip(|out| {
        out.write_all(header.as_bytes())?;
        io::copy(&mut io::repeat(7).take(96 << 20), &mut { out }).map(drop)
    });
    let mut told = Told::of(layer, &Digest::of(b"whatever"));
    let manifest = told.manifest.clone();
    let _ = told.put(media::MANIFEST, &manifest);
    told
}

#[test]
fn a_layer_bomb_ends_at_the_end_of_the_disk() {
    gantry_rig::need_root();
    let netns = Namespace::new().unwrap();
    let mut daemon = Daemon::prepare(Kind::Gantry, Net::Of(netns.pid()), &[]).unwrap();
    let data = daemon.root.join("data");
    let disk = SmallDisk::at(&data, c"size=24m");
    let _ = daemon.launch().unwrap();
    let client = patient(&daemon);
    let told = bomb();
    let liar = Liar::start(netns.pid(), move |asked| told.answer(asked)).unwrap();
    let (before, free) = (kept(&daemon), disk.free_bytes());
    for round in 0..2 {
        let ran = client.docker(&["pull", "-q", &format!("{}/bomb:1", liar.address)]);
        assert!(ran.code == 1 && tells_of_space(&ran.stderr), "round {round}: {ran:?}");
        assert_eq!(kept(&daemon), before, "round {round}: something is left");
    }
    client.eventually("the room is free again", std::time::Duration::from_secs(10), |_| {
        disk.free_bytes() + (1 << 20) > free
    });
    let _ = client.docker_with(&["import", "-", "small"], &small_tar()).ok();
    drop(daemon);
}

/// A docker command with a login at a registry.
fn logged_in(
    client: &Client,
    daemon: &Daemon,
    registry: &str,
    arguments: &[&str],
) -> gantry_rig::Ran {
    let config = daemon.root.join("login");
    fs::create_dir_all(&config).unwrap();
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let text = json!({"auths": {registry: {"auth": auth}}}).to_string();
    fs::write(config.join("config.json"), text).unwrap();
    let mut command = client.command(std::path::Path::new("docker"));
    command.args(arguments).env("DOCKER_CONFIG", &config);
    gantry_rig::client::finish(command, None)
}

fn hears_no_secret(text: &str) -> bool {
    let secrets = [
        PASSWORD.to_owned(),
        STANDARD.encode(PASSWORD),
        // Of `alice:pa55word`, and of JSON that holds it, without what depends on the place.
        STANDARD.encode(format!("{USER}:{PASSWORD}")),
        "cGE1NXdvcm".to_owned(),
        "BhNTV3b3Jk".to_owned(),
        "wYTU1d29yZ".to_owned(),
    ];
    secrets.iter().all(|secret| !text.contains(secret.as_str()))
}

#[test]
fn a_realm_elsewhere_hears_no_password_and_logs_hold_none() {
    let (netns, daemon) = alone(&["--log-level", "debug"]);
    let client = patient(&daemon);
    let realm =
        Liar::start(netns.pid(), |_| Say::new(200, r#"{"token":"t0ken-of-somebody"}"#)).unwrap();
    // This machine too, but another name: nobody can know that.
    let port = realm.address.rsplit_once(':').unwrap().1;
    let there = format!("http://localhost:{port}/token");
    let registry = Liar::start(netns.pid(), move |_| {
        Say::new(401, "{}")
            .with("WWW-Authenticate", format!("Bearer realm=\"{there}\",service=\"s\""))
    })
    .unwrap();
    images::import_busybox(&client).unwrap();
    let image = format!("{}/secret:1", registry.address);
    let _ = client.docker(&["tag", "busybox", &image]).ok();
    for verb in ["pull", "push"] {
        let ran = logged_in(&client, &daemon, &registry.address, &[verb, &image]);
        assert!(ran.code == 1 && ran.stderr.contains("are not sent there"), "{verb}: {ran:?}");
        assert!(hears_no_secret(&ran.stderr), "{verb}: {ran:?}");
    }
    let heard = realm.asked();
    assert!(heard.is_empty(), "{heard:?}");
    // Where the password is for, it goes, and the log is silent about it all the same.
    let asking =
        Registry::start(Server::Asking, &daemon.root.join("asking"), Some(netns.pid())).unwrap();
    let image = format!("{}/secret:1", asking.address);
    let _ = client.docker(&["tag", "busybox", &image]).ok();
    for arguments in [&["push", &image][..], &["pull", &image]] {
        let _ = logged_in(&client, &daemon, &asking.address, arguments).ok();
    }
    let log = fs::read_to_string(daemon.root.join("daemon.log")).unwrap();
    assert!(log.contains("DEBUG") && log.contains(&asking.address), "the log tells nothing: {log}");
    let leak = log.lines().find(|line| !hears_no_secret(line));
    assert_eq!(leak, None, "a secret is in the log");
}

#[test]
fn foreign_layers_come_from_their_urls_and_stay_here() {
    gantry_rig::need_root();
    let netns = Namespace::new().unwrap();
    let honest = Told::new(&small_tar());
    let layer = honest.layer.clone();
    let elsewhere = Liar::start(netns.pid(), move |asked| match asked.target.as_str() {
        "/layers/one?v=2" => Say::new(200, layer.clone()),
        _ => Say::new(404, "no"),
    })
    .unwrap();
    let mut told = honest.clone();
    let mut manifest = honest.manifest.clone();
    manifest["mediaType"] = json!(media::DOCKER_MANIFEST);
    manifest["config"]["mediaType"] = json!(media::DOCKER_CONFIG);
    manifest["layers"][0]["mediaType"] = json!(FOREIGN);
    manifest["layers"][0]["urls"] =
        json!(["file:///etc/passwd", format!("http://{}/layers/one?v=2", elsewhere.address)]);
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    told.blobs.remove(&digest);
    let top = told.put(media::DOCKER_MANIFEST, &manifest);
    let registry = Liar::start(netns.pid(), move |asked| told.answer(asked)).unwrap();
    let image = format!("{}/foreign:1", registry.address);
    // Without TLS nobody speaks for what a manifest says.
    let careful = Daemon::start(Kind::Gantry, Net::Of(netns.pid()), &[]).unwrap();
    let refused = careful.client().docker(&["pull", "-q", &image]);
    assert!(refused.code == 1 && elsewhere.asked().is_empty(), "{refused:?}");
    let options = ["--insecure-registry", &elsewhere.address];
    let daemon = Daemon::start(Kind::Gantry, Net::Of(netns.pid()), &options).unwrap();
    let client = patient(&daemon);
    let _ = logged_in(&client, &daemon, &registry.address, &["pull", "-q", &image]).ok();
    assert_eq!(digest_of(&daemon, &image), top);
    let heard = elsewhere.asked();
    assert!(!heard.is_empty(), "it came from elsewhere");
    let said = |asked: &Asked| asked.header.to_lowercase().contains("authorization");
    assert!(!heard.iter().any(said), "{heard:?}");
    // It is not pushed, also within an image that is made of it.
    let root = daemon.root.join("other");
    let open = Registry::start(Server::Gantry, &root, Some(netns.pid())).unwrap();
    let other = format!("{}/foreign:1", open.address);
    let made = format!("{}/made:1", open.address);
    let _ = client.docker(&["tag", &image, &other]).ok();
    let _ = client.docker(&["create", "--name", "made", &image, "none"]).ok();
    let _ = client.docker(&["commit", "made", &made]).ok();
    for name in [&other, &made] {
        let pushed = client.docker(&["push", name]);
        assert!(pushed.ok().contains("Skipped foreign layer"), "{pushed:?}");
        let shown = client.docker(&["manifest", "inspect", "--insecure", name]);
        assert!(
            shown.ok().contains(FOREIGN) && shown.ok().contains("/layers/one?v=2"),
            "{shown:?}"
        );
    }
    assert_eq!(digest_of(&daemon, &other), top, "the manifest stays as it came");
    let blob = root.join("blobs/sha256").join(&digest[7..]);
    assert!(!blob.exists(), "the layer was pushed");
    // Whoever allows it pushes it.
    let mut allowing = daemon;
    allowing.stop().unwrap();
    allowing.options(&["--allow-nondistributable-artifacts", &open.address]);
    let _ = allowing.launch().unwrap();
    let pushed = allowing.client().docker(&["push", &other]);
    assert!(!pushed.ok().contains("Skipped"), "{pushed:?}");
    assert!(blob.exists(), "the layer was not pushed: {pushed:?}");
    assert_eq!(digest_of(&allowing, &other), top);
}
