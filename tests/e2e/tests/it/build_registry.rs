//! Builds and registries: results that are pushed, and caches that others left there.

use std::fs;
use std::path::Path;

use gantry_rig::Ran;
use gantry_rig::registry::{PASSWORD, Registry, Server, USER};

use crate::build_cli::{Bench, bench, step};

/// A step that gives something else every time that it really runs.
const TEXT: &str = "FROM busybox AS first\nRUN cat /proc/sys/kernel/random/uuid > /id\n\
                    FROM busybox\nRUN echo x > /x\nCOPY --from=first /id /id\nCOPY file /file\n";

fn start(bench: &Bench, server: Server) -> Registry {
    let root = bench.daemon.root.join("registry");
    Registry::start(server, &root, bench.daemon.netns_pid()).expect("a registry starts")
}

fn context(bench: &Bench) -> String {
    bench.context("ctx", &[("Dockerfile", TEXT), ("file", "content\n")])
}

/// Forgets everything that was built.
fn forget(bench: &Bench, images: &[&str]) {
    let _ = bench.client.docker(&[&["rmi", "-f"], images].concat()).ok();
    let _ = bench.gantry(&["builder", "prune", "-af"], None).ok();
}

fn refused(ran: &Ran, words: &str) {
    assert!(ran.code == 1 && ran.stderr.contains(words), "{words}: {ran:?}");
}

#[test]
fn results_are_pushed_under_all_their_names() {
    let bench = bench();
    let registry = start(&bench, Server::Debian);
    let context = context(&bench);
    let [one, two, three] =
        ["app:1", "app:2", "other:3"].map(|name| format!("{}/{name}", registry.address));
    let metadata = bench.text("metadata");
    let args = ["--push", "-t", &one, "-t", &two, "--metadata-file", &metadata, &context];
    let ran = bench.build(&args);
    let _ = ran.ok();
    for name in [&one, &two] {
        let told = step(&ran, &format!("pushing {name}"));
        assert!(told.last().is_some_and(|last| last.starts_with("DONE")), "{told:?}");
    }
    let id = bench.cat(&one, &["cat", "/id"]);
    let metadata: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(metadata).unwrap()).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap().to_owned();
    // The registry's own word for it, on a daemon that has nothing of it any more.
    forget(&bench, &[&one, &two]);
    let by_digest = format!("{}/app@{digest}", registry.address);
    let _ = bench.client.docker(&["pull", &by_digest]).ok();
    assert_eq!(bench.cat(&by_digest, &["cat", "/id"]), id);
    let _ = bench.client.docker(&["pull", &two]).ok();
    // The other way to say it, with its attributes.
    let output = format!("type=image,push=true,name={three},compression=zstd");
    let _ = bench.build(&["-o", &output, &context]).ok();
    let manifest = bench.gantry(&["manifest", "inspect", "--insecure", &three], None);
    assert!(manifest.ok().contains("layer.v1.tar+zstd"), "{manifest:?}");
    // Where nothing listens.
    let nowhere = bench.build(&["--push", "-t", "127.0.0.1:1/app", &context]);
    refused(&nowhere, "failed to push 127.0.0.1:1/app:latest: ");
    for (args, words) in [
        (&["--push"][..], "ERROR: tag is needed when pushing to registry"),
        (&["-o", "type=registry"], "ERROR: tag is needed when pushing to registry"),
        (
            &["--push", "-t", "a", "-o", "type=local,dest=out"],
            "push and \"local\" output can't be used together",
        ),
        (
            &["-t", &one, "-o", "type=registry,push-by-digest=true"],
            "push-by-digest is not implemented",
        ),
        (
            &["-t", &one, "-o", "type=registry,compression=uncompressed"],
            "pushing layers uncompressed is not implemented",
        ),
    ] {
        refused(&bench.build(&[args, &[context.as_str()]].concat()), words);
    }
}

#[test]
fn several_platforms_are_pushed_as_an_index() {
    let bench = bench();
    let registry = start(&bench, Server::Debian);
    let text = "FROM scratch\nARG TARGETARCH\nLABEL of=$TARGETARCH\nCOPY file /file\n";
    let context = bench.context("ctx", &[("Dockerfile", text), ("file", "content\n")]);
    let [name, noted] = ["app:1", "app:noted"].map(|name| format!("{}/{name}", registry.address));
    let platforms = "linux/amd64,linux/arm64";
    let metadata = bench.text("metadata");
    let args = ["--platform", platforms, "--push", "-t", &name, "--metadata-file", &metadata];
    let _ = bench.build(&[&args[..], &[context.as_str()]].concat()).ok();
    let inspect = |name: &str| {
        let ran = bench.gantry(&["manifest", "inspect", "--insecure", name], None);
        serde_json::from_str::<serde_json::Value>(ran.ok()).unwrap()
    };
    let index = inspect(&name);
    let of = |at: usize| index["manifests"][at]["platform"]["architecture"].as_str();
    assert_eq!((of(0), of(1), of(2)), (Some("amd64"), Some("arm64"), None), "{index}");
    let metadata: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(metadata).unwrap()).unwrap();
    assert_eq!(
        metadata["containerimage.descriptor"]["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    for architecture in ["arm64", "amd64"] {
        let platform = format!("linux/{architecture}");
        let _ = bench.client.docker(&["pull", "--platform", &platform, &name]).ok();
        let image = bench.client.inspect(&name);
        assert_eq!(image["Architecture"], architecture);
        assert_eq!(image["Config"]["Labels"]["of"], architecture);
    }
    // What is noted at a manifest is part of what the registry has.
    let args = ["--annotation", "a.b=c", "--push", "-t", &noted, &context];
    let _ = bench.build(&args).ok();
    assert_eq!(inspect(&noted)["annotations"]["a.b"], "c");
    // The store here holds one platform under a name.
    for load in [&[][..], &["--push", "--load"]] {
        let args = ["--platform", platforms, "-t", &name, &context];
        let ran = bench.build(&[load, &args[..]].concat());
        refused(&ran, "does not currently support exporting manifest lists");
    }
}

#[test]
fn registries_that_ask_are_told_who_pushes() {
    let bench = bench();
    let registry = start(&bench, Server::Asking);
    let context = context(&bench);
    let name = format!("{}/app:1", registry.address);
    let cache = format!("type=registry,ref={}/cache", registry.address);
    let args = ["--push", "-t", &name, "--cache-to", &cache, &context];
    refused(&bench.build(&args), "no basic auth credentials");
    let login = ["login", "-u", USER, "--password-stdin", &registry.address];
    let _ = bench.gantry(&login, Some(format!("{PASSWORD}\n").as_bytes())).ok();
    let _ = bench.build(&args).ok();
    forget(&bench, &[&name]);
    let again = bench.build(&["--cache-from", &cache, &context]);
    let _ = again.ok();
    assert_eq!(step(&again, "RUN echo x").last(), Some(&"CACHED"), "{}", again.stderr);
    let log = fs::read_to_string(bench.daemon.root.join("daemon.log")).unwrap();
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn caches_lie_in_registries() {
    let bench = bench();
    let registry = start(&bench, Server::Debian);
    let context = context(&bench);
    let cache = format!("type=registry,ref={}/cache:max", registry.address);
    let whole = format!("{cache},mode=max");
    let _ = bench.build(&["-t", "made", "--cache-to", &whole, &context]).ok();
    let id = bench.cat("made", &["cat", "/id"]);
    forget(&bench, &["made"]);
    // A step that runs again gives another one.
    let again = bench.build(&["-t", "made", "--cache-from", &cache, &context]);
    let _ = again.ok();
    for name in ["RUN cat", "RUN echo x", "COPY --from=first", "COPY file"] {
        assert_eq!(step(&again, name).last(), Some(&"CACHED"), "{name}: {}", again.stderr);
    }
    assert_eq!(bench.cat("made", &["cat", "/id"]), id);
    // What came from there is not compressed and sent again.
    let again = bench.build(&["--cache-from", &cache, "--cache-to", &whole, &context]);
    let _ = again.ok();
    let told = step(&again, "exporting cache to registry");
    assert!(told.len() == 2 && told[1].starts_with("DONE"), "{told:?}");
    // An image that carries its own, which is less: of its last stage alone.
    forget(&bench, &["made"]);
    let name = format!("{}/app:1", registry.address);
    let _ = bench.build(&["--push", "-t", &name, "--cache-to", "type=inline", &context]).ok();
    forget(&bench, &[&name]);
    let again = bench.build(&["-t", "made", "--cache-from", &name, &context]);
    let _ = again.ok();
    assert_eq!(step(&again, "RUN echo x").last(), Some(&"CACHED"), "{}", again.stderr);
    assert_eq!(bench.cat("made", &["cat", "/x"]), "x");
    // What a cache promised and does not have ends the build: nothing else takes its place.
    forget(&bench, &["made"]);
    spoil_layers(&bench.daemon.root.join("registry/docker/registry/v2/blobs/sha256"));
    let spoilt = bench.build(&["-t", "made", "--cache-from", &cache, &context]);
    refused(&spoilt, &format!("from the cache in {}/cache:max: ", registry.address));
    let _ = bench.build(&["-t", "made", &context]).ok();
    // One that is not there is no failure; one that cannot be left is, unless it may be.
    forget(&bench, &["made"]);
    let nowhere = format!("{}/none", registry.address);
    let without = bench.build(&["--cache-from", &nowhere, &context]);
    let _ = without.ok();
    let told = step(&without, "importing cache manifest from registry:");
    assert!(told.last().is_some_and(|last| last.starts_with("ERROR")), "{told:?}");
    let dead = "type=registry,ref=127.0.0.1:1/cache";
    refused(
        &bench.build(&["--cache-to", dead, &context]),
        "pushing the cache to 127.0.0.1:1/cache",
    );
    let forgiven = format!("{dead},ignore-error=true");
    let _ = bench.build(&["--cache-to", &forgiven, &context]).ok();
    let unnamed = "type=registry,ref=UPPER";
    refused(&bench.build(&["--cache-to", unnamed, &context]), "must be an image's name");
}

/// Changes a byte of all gzipped blobs of a registry.
fn spoil_layers(blobs: &Path) {
    let mut spoilt = 0;
    for of_two in fs::read_dir(blobs).unwrap() {
        for blob in fs::read_dir(of_two.unwrap().path()).unwrap() {
            let path = blob.unwrap().path().join("data");
            let mut data = fs::read(&path).unwrap();
            if data.starts_with(&[0x1f, 0x8b]) {
                let middle = data.len() / 2;
                data[middle] ^= 1;
                fs::write(&path, data).unwrap();
                spoilt += 1;
            }
        }
    }
    assert!(spoilt > 0);
}
