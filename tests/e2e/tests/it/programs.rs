//! Other programs at our registry and at Debian's: skopeo, podman, buildah, the docker CLI; the
//! digests that they see are the same everywhere.

use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Ran, daemon::gantry_binary};

use crate::world::{World, digest_of, patient};

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

/// podman or buildah, with storage of its own.
fn containers(world: &World, program: &str, arguments: &[&str]) -> Ran {
    let [root, run] = ["podman", "podman-run"].map(|name| world.one.root.join(name));
    let storage = ["--storage-driver", "vfs", "--root", root.to_str().unwrap()];
    let run = ["--runroot", run.to_str().unwrap()];
    world.run(program, &[&storage[..], &run, arguments].concat())
}

/// What a tag points at in a registry, by skopeo.
fn digest_at(world: &World, name: &str) -> String {
    let url = format!("docker://{name}");
    let said = world.run("skopeo", &["inspect", "--tls-verify=false", "--raw", &url]);
    gantry_oci::Digest::of(said.stdout.as_bytes()).to_string()
}

/// Pushed by Gantry, pulled and pushed on by podman, buildah and the docker CLI, at a registry.
fn podman_and_buildah_at(server: Server) {
    let world = World::new(server);
    let name = |tag: &str| format!("{}/team/box:{tag}", world.registry.address);
    let (here, there) = (patient(&world.one), patient(&world.two));
    let ours = |arguments: &[&str]| here.run(&gantry_binary().unwrap(), arguments, None);
    let _ = ours(&["tag", "busybox", &name("gantry")]).ok();
    let _ = ours(&["push", "-q", &name("gantry")]).ok();
    let pushed = digest_of(&world.one, &name("gantry"));
    assert_eq!(digest_at(&world, &name("gantry")), pushed);
    for program in ["podman", "buildah"] {
        let run = |arguments: &[&str]| containers(&world, program, arguments);
        let _ = run(&["pull", "-q", "--tls-verify=false", &name("gantry")]).ok();
        let listed = run(&["images", "--digests", "--format", "{{.Digest}}"]);
        assert!(listed.ok().lines().any(|line| line == pushed), "{program}: {listed:?}");
        // What it packs anew has a digest of its own, and is the same image wherever it goes.
        let _ = run(&["tag", &name("gantry"), &name(program)]).ok();
        let _ = run(&["push", "-q", "--tls-verify=false", &name(program)]).ok();
        let _ = there.docker(&["pull", "-q", &name(program)]).ok();
        assert_eq!(digest_of(&world.two, &name(program)), digest_at(&world, &name(program)));
        let id = |image: &str| here.inspect(image)["Id"].clone();
        assert_eq!(there.inspect(&name(program))["Id"], id("busybox"), "{program}");
        assert_eq!(there.docker(&["run", "--rm", &name(program), "echo", "in"]).ok(), "in");
        let _ = there.docker(&["rmi", &name(program)]).ok();
        let _ = run(&["rmi", "-af"]);
    }
    // One that buildah makes, which Gantry pulls and pushes elsewhere as it is.
    let buildah = |arguments: &[&str]| containers(&world, "buildah", arguments);
    let container = buildah(&["from", "-q", "--tls-verify=false", &name("gantry")]).ok().to_owned();
    let file = world.one.root.join("line");
    std::fs::write(&file, "by buildah\n").unwrap();
    let _ = buildah(&["copy", "-q", &container, file.to_str().unwrap(), "/line"]).ok();
    let _ = buildah(&["commit", "-q", &container, &name("made")]).ok();
    let _ = buildah(&["push", "-q", "--tls-verify=false", &name("made")]).ok();
    let _ = there.docker(&["pull", "-q", &name("made")]).ok();
    assert_eq!(there.docker(&["run", "--rm", &name("made"), "cat", "/line"]).ok(), "by buildah");
    let made = digest_at(&world, &name("made"));
    assert_eq!(digest_of(&world.two, &name("made")), made);
    let _ = there.docker(&["tag", &name("made"), &name("again")]).ok();
    let _ = there.docker(&["push", "-q", &name("again")]).ok();
    assert_eq!(digest_at(&world, &name("again")), made);
    // podman keeps the digest of what it copies without packing it anew.
    let _ = buildah(&["rm", "-a"]).ok();
    let _ = buildah(&["rmi", "-af"]).ok();
    let _ =
        containers(&world, "podman", &["pull", "-q", "--tls-verify=false", &name("again")]).ok();
    let listed = containers(&world, "podman", &["images", "--digests", "--format", "{{.Digest}}"]);
    assert!(listed.ok().lines().any(|line| line == made), "{listed:?}");
}

#[test]
fn podman_and_buildah_at_our_registry() {
    podman_and_buildah_at(Server::Gantry);
}

#[test]
fn podman_and_buildah_at_debians_registry() {
    podman_and_buildah_at(Server::Debian);
}
