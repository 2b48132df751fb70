//! Pulls and pushes on disks that are full, and with either side killed at any step: what is
//! missing comes with the next try, nothing half made is seen, nothing acknowledged is lost.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gantry_rig::daemon::gantry_binary;
use gantry_rig::leaks::Left;
use gantry_rig::proxy::Proxy;
use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Client, Daemon};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::world::{World, digest_of, noise, patient};

/// Layers of the images that travel here.
const LAYERS: u64 = 3;
/// Bytes of each, which do not compress.
const LAYER_BYTES: usize = 6 << 20;
/// How often a side is killed within one transfer.
const KILLS: u64 = 20;

/// A file system of its own in the place of a directory; unmounted when dropped.
pub(crate) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    pub(crate) fn at(path: &'a Path, size: &std::ffi::CStr) -> Self {
        fs::create_dir_all(path).unwrap();
        rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(size)).unwrap();
        Self(path)
    }

    fn resize(&self, size: &std::ffi::CStr) {
        rustix::mount::mount_remount(self.0, MountFlags::empty(), size).unwrap();
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0, UnmountFlags::DETACH);
    }
}

/// Builds an image of some layers of noise.
fn build(daemon: &Daemon, image: &str, seed: u64) {
    let context = daemon.root.join(format!("context-{seed}"));
    fs::create_dir(&context).unwrap();
    let mut dockerfile = "FROM scratch\n".to_owned();
    for layer in 0..LAYERS {
        fs::write(context.join(format!("f{layer}")), noise(seed * LAYERS + layer + 1, LAYER_BYTES))
            .unwrap();
        dockerfile.push_str(&format!("COPY f{layer} /f{layer}\n"));
    }
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let arguments = ["build", "-q", "-t", image, context.to_str().unwrap()];
    let _ = patient(daemon).run(&gantry_binary().unwrap(), &arguments, None).ok();
}

/// A docker command that goes on behind this.
fn begin(client: &Client, arguments: &[&str]) -> Child {
    let mut command = client.command(Path::new("docker"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Waits until `bytes` have gone by or the command has ended; tells whether it has.
fn ended_before(child: &mut Child, bytes: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(60);
    while !bytes() {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        assert!(Instant::now() < limit, "neither bytes nor an end");
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The images that a daemon lists.
pub(crate) fn listed(client: &Client) -> String {
    client.docker(&["image", "ls", "-aq", "--no-trunc"]).ok().to_owned()
}

pub(crate) fn entries(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

pub(crate) fn tells_of_space(text: &str) -> bool {
    text.to_lowercase().contains("no space left")
}

/// Bytes of the files below a directory.
fn size_of(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            data => data.map_or(0, |data| data.len()),
        })
        .sum()
}

/// Kills daemon `two` at evenly spread places of a pull, until the image is there.
#[test]
fn a_daemon_killed_twenty_times_in_a_pull() {
    let mut world = World::new(Server::Gantry);
    let image = |address: &str| format!("{address}/kill:1");
    let pushed = image(&world.registry.address);
    build(&world.one, &pushed, 1);
    let _ = patient(&world.one).docker(&["push", "-q", &pushed]).ok();
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let name = image(&proxy.address);
    let length = LAYERS * LAYER_BYTES as u64;
    let (images, layers) =
        (listed(&patient(&world.two)), world.two.root.join("data/snapshots/layers"));
    let content = world.two.root.join("data/content");
    let (layers_before, base) = (entries(&layers), size_of(&content));
    let (mut killed, mut had) = (0, 0);
    for turn in 1..=KILLS {
        let place = length * turn / (KILLS + 1);
        let mut pull = begin(&patient(&world.two), &["pull", "-q", &name]);
        let ended = ended_before(&mut pull, || size_of(&content) >= base + place);
        killed += u64::from(!ended);
        world.two.kill().unwrap();
        end(pull);
        let have = size_of(&content) - base;
        assert!(have >= had, "turn {turn}: of {had} bytes {have} are left");
        had = have;
        let _ = world.two.launch().unwrap();
        let now = listed(&patient(&world.two));
        assert!(ended || now == images, "turn {turn}: half an image is listed");
    }
    assert!(killed > KILLS / 2, "only {killed} kills were within a pull");
    let before = proxy.down();
    let _ = patient(&world.two).docker(&["pull", "-q", &name]).ok();
    assert_eq!(digest_of(&world.two, &name), digest_of(&world.one, &pushed));
    // What had come to the disk before the last kill was not fetched again.
    let most = length.saturating_sub(had) + (1 << 20);
    assert!(proxy.down() - before <= most, "{} bytes, {had} were here", proxy.down() - before);
    assert_eq!(entries(&world.two.root.join("data/content/ingest")), 0, "something half is left");
    assert_eq!((entries(&layers) - layers_before) as u64, LAYERS, "layers");
}

/// Kills daemon `one` at evenly spread places of a push.
#[test]
fn a_daemon_killed_twenty_times_in_a_push() {
    let mut world = World::new(Server::Gantry);
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let name = format!("{}/kill:1", proxy.address);
    build(&world.one, &name, 1);
    let ingest = world.one.root.join("data/content/ingest");
    let mut killed = 0;
    for turn in 1..=KILLS {
        let before = proxy.up();
        // Some within the first layers, some within the last.
        let place = LAYERS * LAYER_BYTES as u64 * turn / (KILLS + 1);
        let mut push = begin(&patient(&world.one), &["push", "-q", &name]);
        killed += u64::from(!ended_before(&mut push, || proxy.up() - before >= place));
        world.one.kill().unwrap();
        end(push);
        let _ = world.one.launch().unwrap();
    }
    assert!(killed > 2, "only {killed} kills were within a push");
    let here = patient(&world.one);
    let before = proxy.up();
    let _ = here.docker(&["push", "-q", &name]).ok();
    let again = proxy.up();
    // Layers that were acknowledged are not sent again.
    assert!(again - before <= LAYERS * LAYER_BYTES as u64 + (1 << 20));
    let _ = here.docker(&["push", "-q", &name]).ok();
    assert!(proxy.up() - again < 32 << 10, "{} bytes for nothing new", proxy.up() - again);
    let there = patient(&world.two);
    let _ = there.docker(&["pull", "-q", &name]).ok();
    assert_eq!(digest_of(&world.two, &name), digest_of(&world.one, &name));
    assert_eq!(entries(&ingest), 0, "what was compressed for a push is left");
}

/// Kills the registry in pushes and pulls, at evenly spread places, and starts it again.
#[test]
fn a_registry_killed_twenty_times() {
    let mut world = World::new(Server::Gantry);
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let name = |turn: u64| format!("{}/kill:{turn}", proxy.address);
    let length = LAYERS * LAYER_BYTES as u64;
    let (here, there) = (patient(&world.one), patient(&world.two));
    let rounds = 5;
    let mut killed = 0;
    for round in 1..=rounds {
        build(&world.one, &name(round), round);
        for (client, verb) in [(&here, "push"), (&there, "pull")] {
            let moved = || if verb == "push" { proxy.up() } else { proxy.down() };
            let before = moved();
            let mut command = begin(client, &[verb, "-q", &name(round)]);
            for place in [1, 2] {
                let place = before + length * (place * 2 + round % 3) / 7;
                killed += u64::from(!ended_before(&mut command, || moved() >= place));
                world.registry.kill().unwrap();
                world.registry.restart().unwrap();
            }
            // It goes on by itself, or says that it cannot and goes on when it is asked again.
            if !command.wait().unwrap().success() {
                let _ = client.docker(&[verb, "-q", &name(round)]).ok();
            }
            // What was acknowledged is never sent again, and a cut costs less than a layer.
            let most = length + 2 * LAYER_BYTES as u64 + (4 << 20);
            assert!(moved() - before <= most, "{verb}: {} bytes for {length}", moved() - before);
        }
    }
    assert!(killed >= rounds * 2, "only {killed} kills were within a transfer");
    // Everything that was acknowledged is there, whole.
    for round in 1..=rounds {
        assert_eq!(digest_of(&world.two, &name(round)), digest_of(&world.one, &name(round)));
        let _ = there.docker(&["rmi", "-f", &name(round)]).ok();
        let _ = there.docker(&["pull", "-q", &name(round)]).ok();
    }
}

#[test]
fn a_pull_onto_a_full_disk() {
    let mut world = World::new(Server::Gantry);
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let name = format!("{}/large:1", proxy.address);
    let pushed = format!("{}/large:1", world.registry.address);
    build(&world.one, &pushed, 1);
    let _ = patient(&world.one).docker(&["push", "-q", &pushed]).ok();
    // The other daemon's disk holds less than half of it.
    world.two.stop().unwrap();
    let data = world.two.root.join("data");
    fs::remove_dir_all(&data).unwrap();
    let disk = SmallDisk::at(&data, c"size=16m");
    let _ = world.two.launch().unwrap();
    let there = patient(&world.two);
    let (before, images) = (Left::of(&world.two), listed(&there));
    for round in 0..3 {
        let ran = there.docker(&["pull", "-q", &name]);
        assert!(ran.code == 1 && tells_of_space(&ran.stderr), "round {round}: {ran:?}");
        assert_eq!(listed(&there), images, "round {round}");
        assert_eq!(Left::of(&world.two), before, "round {round}");
        assert!(there.ping());
    }
    // A failed pull keeps no room that others want.
    images_can_be_imported(&there, &disk);
    let came = proxy.down();
    let length = LAYERS * LAYER_BYTES as u64;
    disk.resize(c"size=128m");
    let _ = there.docker(&["pull", "-q", &name]).ok();
    assert_eq!(digest_of(&world.two, &name), digest_of(&world.one, &pushed));
    assert!(proxy.down() - came < length + (1 << 20), "{} bytes", proxy.down() - came);
    assert_eq!(entries(&data.join("content/ingest")), 0, "something half is left");
    world.two.stop().unwrap();
}

/// There is room for something small behind a pull that found none.
fn images_can_be_imported(client: &Client, disk: &SmallDisk<'_>) {
    let free = disk.free_bytes();
    let imported = client.docker_with(&["import", "-", "small"], &small_tar());
    assert_eq!(imported.code, 0, "{free} bytes are free: {imported:?}");
    let _ = client.docker(&["rmi", "small"]).ok();
}

pub(crate) fn small_tar() -> Vec<u8> {
    let mut tar = Vec::new();
    gantry_rig::images::many_files(&mut tar, 4, 10_000, 1).unwrap();
    tar
}

#[test]
fn a_push_to_a_registry_on_a_full_disk() {
    let world = World::new(Server::Gantry);
    let root = world.one.root.join("small");
    let disk = SmallDisk::at(&root, c"size=12m");
    let registry = Registry::start(Server::Gantry, &root, Some(world.netns.pid())).unwrap();
    let proxy = Proxy::start(world.netns.pid(), &registry.address, &[]).unwrap();
    let name = |tag: &str| format!("{}/large:{tag}", proxy.address);
    let here = patient(&world.one);
    build(&world.one, &name("1"), 1);
    for round in 0..3 {
        let ran = here.docker(&["push", "-q", &name("1")]);
        assert!(ran.code == 1 && tells_of_space(&ran.stderr), "round {round}: {ran:?}");
        let tags = format!("docker://{}", name("1"));
        let listed = world.run("skopeo", &["inspect", "--tls-verify=false", &tags]);
        assert!(listed.code != 0, "round {round}: half an image is there: {listed:?}");
    }
    // Something small still fits: what was refused took its room with it.
    let _ = here.docker_with(&["import", "-", &name("small")], &small_tar()).ok();
    here.eventually("there is room for it", Duration::from_secs(15), |here| {
        here.docker(&["push", "-q", &name("small")]).code == 0
    });
    let sent = proxy.up();
    disk.resize(c"size=128m");
    let _ = here.docker(&["push", "-q", &name("1")]).ok();
    let length = LAYERS * LAYER_BYTES as u64;
    // What was in sockets when the last try was given up is counted too: less than a layer.
    let most = (LAYERS + 1) * LAYER_BYTES as u64;
    assert!(proxy.up() - sent < most, "{} bytes for {length}", proxy.up() - sent);
    let there = patient(&world.two);
    let _ = there.docker(&["pull", "-q", &name("1")]).ok();
    assert_eq!(digest_of(&world.two, &name("1")), digest_of(&world.one, &name("1")));
    drop((registry, disk));
}
