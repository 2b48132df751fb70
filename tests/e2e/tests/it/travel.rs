//! Images that travel: between daemons, other programs and registries, over lines that break.

use std::fs;
use std::time::Duration;

use gantry_rig::daemon::{Namespace, inside, program};
use gantry_rig::proxy::Proxy;
use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Client, Daemon, Kind, Net, Ran, client, images};

/// A network with two daemons on it, a registry, and a directory for it.
struct World {
    one: Daemon,
    two: Daemon,
    registry: Registry,
    netns: Namespace,
}

impl World {
    fn new(server: Server) -> Self {
        gantry_rig::need_root();
        let netns = Namespace::new().unwrap();
        let daemon = || Daemon::start(Kind::Gantry, Net::Of(netns.pid()), &[]).unwrap();
        let (one, two) = (daemon(), daemon());
        images::import_busybox(&one.client()).unwrap();
        let registry = Registry::start(server, &one.root.join("registry"), Some(netns.pid()));
        Self { one, two, registry: registry.unwrap(), netns }
    }

    /// A command in this network, with nothing of the host's configuration.
    fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        let program = program(name).unwrap_or_else(|| panic!("{name} is not installed"));
        let mut command = inside(Some(self.netns.pid()), &program);
        command.args(arguments).env("HOME", &self.one.root);
        client::finish(command, None)
    }
}

fn patient(daemon: &Daemon) -> Client {
    daemon.client().patient(Duration::from_secs(120))
}

fn digest_of(daemon: &Daemon, image: &str) -> String {
    let digests = daemon.client().inspect(image)["RepoDigests"].clone();
    let first = digests[0].as_str().unwrap_or_else(|| panic!("{image}: {digests}"));
    first.split_once('@').unwrap().1.to_owned()
}

#[test]
fn what_is_built_here_runs_there_and_only_changes_travel() {
    let world = World::new(Server::Gantry);
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let image = format!("{}/team/app", proxy.address);
    let context = world.one.root.join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("data"), noise(1, 4 << 20)).unwrap();
    let dockerfile = "FROM busybox\nCOPY data /data\nCOPY line /line\nCMD [\"cat\", \"/line\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let (here, there) = (patient(&world.one), patient(&world.two));
    let round = |line: &str| {
        fs::write(context.join("line"), line).unwrap();
        let built = here.run(
            &gantry_rig::daemon::gantry_binary().unwrap(),
            &["build", "-q", "-t", &image, context.to_str().unwrap()],
            None,
        );
        let _ = built.ok();
        let before = (proxy.up(), proxy.down());
        let _ = here.docker(&["push", "-q", &image]).ok();
        let _ = there.docker(&["pull", "-q", &image]).ok();
        assert_eq!(there.docker(&["run", "--rm", &image]).ok(), line);
        assert_eq!(digest_of(&world.one, &image), digest_of(&world.two, &image));
        (proxy.up() - before.0, proxy.down() - before.1)
    };
    let (up, down) = round("one");
    assert!(up > 4 << 20 && down > 4 << 20, "{up} bytes up, {down} down");
    let (up, down) = round("two");
    assert!(up < 64 << 10 && down < 64 << 10, "{up} bytes up, {down} down");
    // What was pulled is pushed elsewhere without a layer being sent.
    let other = format!("{}/team/other", proxy.address);
    let before = proxy.up();
    let _ = there.docker(&["tag", &image, &other]).ok();
    let said = there.docker(&["push", &other]);
    assert!(said.ok().contains("Mounted from team/app"), "{said:?}");
    assert!(proxy.up() - before < 32 << 10, "{} bytes up", proxy.up() - before);
    assert_eq!(there.docker(&["pull", "-q", &other]).ok(), other.clone() + ":latest");
}

#[test]
fn a_line_that_breaks_ten_times_brings_one_whole_image() {
    let world = World::new(Server::Gantry);
    let image = format!("{}/large", world.registry.address);
    let archive = world.one.root.join("large.tar");
    images::large_image(&archive, &image, 3000, 5).unwrap();
    let here = patient(&world.one);
    let _ = here.docker(&["load", "-q", "-i", archive.to_str().unwrap()]).ok();
    let _ = here.docker(&["push", "-q", &image]).ok();
    // How much there is to fetch, without breaks.
    let whole = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    let there = patient(&world.two);
    let through = |proxy: &Proxy| format!("{}/large", proxy.address);
    let _ = there.docker(&["pull", "-q", &through(&whole)]).ok();
    let digest = digest_of(&world.two, &through(&whole));
    let _ = there.docker(&["rmi", "-f", &through(&whole)]).ok();
    let length = whole.down();
    let step = length / 11;
    let cuts: Vec<u64> = (1..=10).map(|turn| turn * step - turn * turn * 997).collect();
    let broken = Proxy::start(world.netns.pid(), &world.registry.address, &cuts).unwrap();
    // Whoever is told of a break asks again; what has come stays.
    let mut tries = 0;
    while there.docker(&["pull", "-q", &through(&broken)]).code != 0 {
        tries += 1;
        assert!(tries <= 10, "it never ends");
    }
    assert_eq!(broken.cuts_left(), 0, "not all breaks have happened");
    assert_eq!(digest_of(&world.two, &through(&broken)), digest);
    let count = there.docker(&["run", "--rm", &through(&broken), "true"]);
    assert_eq!(count.code, 127, "an image of data alone is whole: {count:?}");
    // What was under way is lost with a connection, and manifests are asked for again.
    let most = length + 10 * (1 << 20);
    assert!(broken.down() <= most, "{} bytes for {length}", broken.down());
}

#[test]
fn other_programs_push_to_it_and_pull_from_it() {
    let world = World::new(Server::Gantry);
    let name = |tag: &str| format!("{}/box:{tag}", world.registry.address);
    let (here, there) = (patient(&world.one), patient(&world.two));
    let _ = here.docker(&["tag", "busybox", &name("gantry")]).ok();
    let _ = here.docker(&["push", "-q", &name("gantry")]).ok();
    let pushed = digest_of(&world.one, &name("gantry"));
    // skopeo copies it within the registry, with its digest.
    let at = |tag: &str| format!("docker://{}", name(tag));
    let no_tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copy = |from: &str, to: &str| {
        world.run("skopeo", &[&["copy", "-q"], &no_tls[..], &[from, to]].concat())
    };
    let _ = copy(&at("gantry"), &at("skopeo")).ok();
    let said = world.run("skopeo", &["inspect", "--tls-verify=false", &at("skopeo")]);
    let said: serde_json::Value = serde_json::from_str(said.ok()).unwrap();
    assert_eq!(said["Digest"], pushed.as_str());
    let mut tags: Vec<&str> =
        said["RepoTags"].as_array().unwrap().iter().filter_map(|tag| tag.as_str()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["gantry", "skopeo"]);
    // As an OCI layout, out and in again.
    let layout = format!("oci:{}:x", world.one.root.join("layout").display());
    let _ = copy(&at("gantry"), &layout).ok();
    let _ = copy(&layout, &at("layout")).ok();
    let _ = there.docker(&["pull", "-q", &name("layout")]).ok();
    assert_eq!(digest_of(&world.two, &name("layout")), pushed);
    assert_eq!(there.docker(&["run", "--rm", &name("layout"), "echo", "runs"]).ok(), "runs");
}

#[test]
fn digests_are_equal_in_debians_registry_and_ours() {
    let world = World::new(Server::Debian);
    let root = world.one.root.join("ours");
    let ours = Registry::start(Server::Gantry, &root, Some(world.netns.pid())).unwrap();
    let (here, there) = (patient(&world.one), patient(&world.two));
    let [debian, gantry] = [&world.registry.address, &ours.address].map(|to| format!("{to}/b:1"));
    for image in [&debian, &gantry] {
        let _ = here.docker(&["tag", "busybox", image]).ok();
        let _ = here.docker(&["push", "-q", image]).ok();
    }
    assert_eq!(digest_of(&world.one, &debian), digest_of(&world.one, &gantry));
    // From one to the other by way of another machine, which changes nothing.
    let moved = format!("{}/moved:1", world.registry.address);
    let _ = there.docker(&["pull", "-q", &gantry]).ok();
    let _ = there.docker(&["tag", &gantry, &moved]).ok();
    let _ = there.docker(&["push", "-q", &moved]).ok();
    assert_eq!(digest_of(&world.two, &moved), digest_of(&world.one, &debian));
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}
