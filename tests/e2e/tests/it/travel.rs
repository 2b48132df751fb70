//! Images that travel: between daemons, other programs and registries, over lines that break.

use std::fs;

use gantry_rig::images;
use gantry_rig::proxy::Proxy;
use gantry_rig::registry::Server;

use crate::world::{World, digest_of, noise, patient};

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
fn pushes_compress_by_zstd_if_the_daemon_is_told_so() {
    let world = World::with(Server::Gantry, &["--push-compression", "zstd"]);
    let name = |tag: &str| format!("{}/zstd:{tag}", world.registry.address);
    let (here, there) = (patient(&world.one), patient(&world.two));
    let _ = here.docker(&["tag", "busybox", &name("1")]).ok();
    let _ = here.docker(&["push", "-q", &name("1")]).ok();
    let url = format!("docker://{}", name("1"));
    let raw = world.run("skopeo", &["inspect", "--raw", "--tls-verify=false", &url]);
    let manifest: serde_json::Value = serde_json::from_str(raw.ok()).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], gantry_oci::image::media::LAYER_ZSTD);
    let _ = there.docker(&["pull", "-q", &name("1")]).ok();
    assert_eq!(there.docker(&["run", "--rm", &name("1"), "echo", "runs"]).ok(), "runs");
    assert_eq!(there.inspect(&name("1"))["Id"], here.inspect("busybox")["Id"]);
    // Again, and from elsewhere, it is the same blob.
    let proxy = Proxy::start(world.netns.pid(), &world.registry.address, &[]).unwrap();
    for daemon in [&world.one, &world.two] {
        let again = format!("{}/zstd:2", proxy.address);
        let _ = daemon.client().docker(&["tag", &name("1"), &again]).ok();
        let _ = daemon.client().docker(&["push", "-q", &again]).ok();
        assert_eq!(digest_of(daemon, &again), digest_of(&world.one, &name("1")));
    }
    let wrong = gantry_rig::Daemon::start(
        gantry_rig::Kind::Gantry,
        gantry_rig::Net::Private,
        &["--push-compression", "lzma"],
    );
    let error = wrong.expect_err("it starts").to_string();
    assert!(error.contains("\"lzma\" is neither gzip nor zstd"), "{error}");
}
