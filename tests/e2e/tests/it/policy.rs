//! The image policy: understood as skopeo understands it, with signatures that OpenSSL makes.
//!
//! Debian's skopeo has sigstore's signatures turned off, so what those come to is held against the
//! manual, containers-policy.json(5), and all else against skopeo.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gantry_rig::daemon::inside;
use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Client, Daemon, Kind, Net};
use serde_json::{Value, json};

/// Signs an image at a registry as cosign does; a signature that is there stays.
const SIGN: &str = r#"
import base64, hashlib, json, subprocess, sys, urllib.error, urllib.request as web
registry, repository, tag, key, identity = sys.argv[1:]
base = f"http://{registry}/v2/{repository}"
manifest_type = "application/vnd.oci.image.manifest.v1+json"

def call(method, url, data=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.urlopen(web.Request(url, data, headers, method=method))

def push(data, media_type):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = call("POST", base + "/blobs/uploads/", b"").headers["Location"]
    place += ("&" if "?" in place else "?") + "digest=" + digest
    call("PUT", place, data, Content_Type="application/octet-stream")
    return {"mediaType": media_type, "digest": digest, "size": len(data)}

accept = manifest_type + ", application/vnd.docker.distribution.manifest.v2+json"
digest = call("HEAD", f"{base}/manifests/{tag}", Accept=accept).headers["Docker-Content-Digest"]
payload = json.dumps({
    "critical": {
        "identity": {"docker-reference": identity},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    },
    "optional": None,
}).encode()
sign = ["openssl", "dgst", "-sha256", "-sign", key]
signature = subprocess.run(sign, input=payload, stdout=subprocess.PIPE, check=True).stdout
layer = push(payload, "application/vnd.dev.cosign.simplesigning.v1+json")
signature = base64.b64encode(signature).decode()
layer["annotations"] = {"dev.cosignproject.cosign/signature": signature}
place = f"{base}/manifests/{digest.replace(':', '-')}.sig"
try:
    manifest = json.load(call("GET", place, Accept=manifest_type))
except urllib.error.HTTPError:
    config = push(b"{}", "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": []}
manifest["layers"].append(layer)
call("PUT", place, json.dumps(manifest).encode(), Content_Type=manifest_type)
"#;

/// A directory of a test's own; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gantry-policy-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Puts a policy in place of the one before.
    fn policy(&self, policy: &Value) {
        fs::write(self.path("new"), policy.to_string()).unwrap();
        fs::rename(self.path("new"), self.path("policy.json")).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn signed(key_path: &str, identity: &Value) -> Value {
    json!({"type": "sigstoreSigned", "keyPath": key_path, "signedIdentity": identity})
}

fn accept() -> Value {
    json!({"default": [{"type": "insecureAcceptAnything"}]})
}

struct Bench {
    registry: Registry,
    client: Client,
    daemon: Daemon,
    folder: Folder,
}

impl Bench {
    fn new() -> Self {
        let folder = Folder::new();
        folder.policy(&accept());
        let option = ["--image-policy", &folder.path("policy.json")];
        let daemon = crate::gantry_with(Net::Private, &option);
        let client = daemon.client();
        let root = daemon.root.join("registry");
        let registry = Registry::start(Server::Debian, &root, daemon.netns_pid()).unwrap();
        Self { folder, daemon, client, registry }
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/{tag}", self.registry.address)
    }

    /// Makes a key: the path of its public half, for policies.
    fn key(&self, name: &str) -> String {
        let (own, public) = (self.folder.path(name), self.folder.path(&format!("{name}.pub")));
        let curve = "ec_paramgen_curve:P-256";
        let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", &own];
        let _ = self.client.run(Path::new("openssl"), &make, None).ok();
        let take = ["pkey", "-in", &own, "-pubout", "-out", &public];
        let _ = self.client.run(Path::new("openssl"), &take, None).ok();
        public
    }

    /// Puts busybox into the registry.
    fn push(&self, tag: &str) {
        let name = self.name(tag);
        for command in [&["tag", "busybox", &name][..], &["push", &name], &["rmi", &name]] {
            let _ = self.client.docker(command).ok();
        }
    }

    /// Signs an image with a key and under a name.
    fn sign(&self, image: &str, key: &str, identity: &str) {
        let (repository, tag) = image.rsplit_once(':').unwrap();
        let key = self.folder.path(key);
        let args = ["-c", SIGN, &self.registry.address, repository, tag, &key, identity];
        let _ = self.client.run(Path::new("python3"), &args, None).ok();
    }

    /// Whether skopeo copies an image under the policy that is in place, and what it says.
    fn skopeo_takes(&self, tag: &str) -> (bool, String) {
        let to = self.folder.path("copy");
        let (policy, from) = (self.folder.path("policy.json"), self.name(tag));
        let (from, into) = (format!("docker://{from}"), format!("dir:{to}"));
        let mut skopeo = inside(self.daemon.netns_pid(), Path::new("skopeo"));
        skopeo.args(["--policy", &policy, "copy", "--src-tls-verify=false", &from, &into]);
        let ran = gantry_rig::client::finish(skopeo, None);
        let _ = fs::remove_dir_all(to);
        (ran.code == 0, ran.stderr)
    }

    /// Whether the daemon pulls an image under the policy that is in place, and what it says.
    fn gantry_takes(&self, tag: &str) -> (bool, String) {
        let name = self.name(tag);
        let ran = self.client.docker(&["pull", "-q", &name]);
        let there = self.client.docker(&["image", "inspect", &name]).code == 0;
        assert_eq!(there, ran.code == 0, "{ran:?}");
        if there {
            let _ = self.client.docker(&["rmi", &name]).ok();
        }
        (ran.code == 0, ran.stderr)
    }
}

#[test]
fn skopeo_understands_policies_alike() {
    let bench = Bench::new();
    let images = ["plain:1", "team/a:1", "team/a:2", "team/b:1"];
    for image in images {
        bench.push(image);
    }
    let address = bench.registry.address.clone();
    let (yes, no) = (json!({"type": "insecureAcceptAnything"}), json!({"type": "reject"}));
    let scopes = |scopes: Value| json!({"default": [no], "transports": {"docker": scopes}});
    let policies = [
        json!({"default": [yes]}),
        json!({"default": [no]}),
        json!({"default": [yes, no]}),
        json!({"default": [no], "transports": {"docker-archive": {"": [yes]}}}),
        scopes(json!({format!("{address}/team"): [yes]})),
        scopes(json!({format!("{address}/tea"): [yes]})),
        scopes(json!({format!("{address}/team/a:1"): [yes, yes]})),
        scopes(json!({address.as_str(): [yes], format!("{address}/team/a:1"): [no]})),
        scopes(json!({format!("{address}/team"): [no], format!("{address}/team/a"): [yes]})),
        scopes(json!({"*.0.0.1": [yes], format!("{address}/plain"): [no]})),
        scopes(json!({"*.1": [yes], "*.0.1": [no]})),
        scopes(json!({"": [yes], "127.0.0.1": [no]})),
    ];
    let mut taken = 0;
    for policy in &policies {
        bench.folder.policy(policy);
        for image in images {
            let (skopeo, gantry) = (bench.skopeo_takes(image), bench.gantry_takes(image));
            assert_eq!(skopeo.0, gantry.0, "{image}\n{policy}\nskopeo: {skopeo:?}\n{gantry:?}");
            assert!(gantry.0 || gantry.1.contains("is denied by the image policy"), "{gantry:?}");
            taken += usize::from(gantry.0);
        }
    }
    let all = policies.len() * images.len();
    assert!((all / 5..all * 4 / 5).contains(&taken), "{taken} of {all} cases are taken");
}

#[test]
fn signatures_count_as_the_manual_says() {
    let bench = Bench::new();
    let (mine, others) = (bench.key("mine"), bench.key("others"));
    let images =
        ["plain:1", "team/signed:1", "team/signed:2", "team/other:1", "team/else:1", "both:1"];
    for image in images {
        bench.push(image);
    }
    let address = bench.registry.address.clone();
    // 1 and 2 are one manifest, so that what signs one stands at the other too.
    for (image, key, identity) in [
        ("team/signed:1", "mine", bench.name("team/signed:1")),
        ("team/other:1", "others", bench.name("team/other:1")),
        ("team/else:1", "mine", "example.com/team/else:1".to_owned()),
        ("both:1", "mine", bench.name("both:1")),
        ("both:1", "others", bench.name("both:1")),
    ] {
        bench.sign(image, key, &identity);
    }
    let by = |identity: Value| json!({"default": [signed(&mine, &identity)]});
    let repository = json!({"type": "matchRepository"});
    let remap = |prefix: &str, to: &str| {
        by(json!({"type": "remapIdentity", "prefix": prefix, "signedPrefix": to}))
    };
    for (policy, want) in [
        (
            json!({"default": [{"type": "sigstoreSigned", "keyPath": mine}]}),
            &["team/signed:1", "both:1"][..],
        ),
        (by(json!({"type": "matchExact"})), &["team/signed:1", "both:1"]),
        (by(repository.clone()), &["team/signed:1", "team/signed:2", "both:1"]),
        (
            by(json!({"type": "exactReference", "dockerReference": "example.com/team/else:1"})),
            &["team/else:1"],
        ),
        (
            by(json!({"type": "exactRepository", "dockerRepository": "example.com/team/else"})),
            &["team/else:1"],
        ),
        (by(json!({"type": "exactRepository", "dockerRepository": "example.com/team"})), &[]),
        (remap(&address, "example.com"), &["team/else:1"]),
        (remap(&format!("{address}/team"), "example.com/team"), &["team/else:1", "both:1"]),
        (remap(&format!("{address}/te"), "example.com/te"), &["team/signed:1", "both:1"]),
        (
            json!({"default": [signed(&mine, &repository), signed(&others, &repository)]}),
            &["both:1"],
        ),
        (
            json!({"default": [{"type": "sigstoreSigned", "keyPaths": [mine, others]}]}),
            &["team/signed:1", "team/other:1", "both:1"],
        ),
    ] {
        bench.folder.policy(&policy);
        for image in images {
            let (taken, said) = bench.gantry_takes(image);
            assert_eq!(taken, want.contains(&image), "{image}\n{policy}\n{said}");
        }
    }
}

#[test]
fn what_is_denied_comes_by_no_door() {
    let bench = Bench::new();
    let (name, key) = (bench.name("plain:1"), bench.key("mine"));
    let docker = |args: &[&str]| bench.client.docker(args);
    bench.push("plain:1");
    let archive = bench.folder.path("image.tar");
    let _ = docker(&["save", "-o", &archive, "busybox"]).ok();
    let scopes = json!({"": [signed(&key, &json!({"type": "matchRepository"}))]});
    bench
        .folder
        .policy(&json!({"default": [{"type": "reject"}], "transports": {"docker": scopes}}));
    let denied =
        format!("image {name} is denied by the image policy, docker \"\": it must be signed");
    let dockerfile = format!("FROM {name}\n");
    let build = |client: &Client| {
        let mut docker = client.command(Path::new("docker"));
        docker.args(["build", "-"]).env("DOCKER_BUILDKIT", "0");
        docker.stdin(std::process::Stdio::piped());
        gantry_rig::client::finish(docker, Some(dockerfile.as_bytes()))
    };
    for ran in [
        docker(&["pull", &name]),
        docker(&["run", "--rm", &name, "true"]),
        docker(&["create", "--pull", "always", &name]),
        build(&bench.client),
    ] {
        assert!(ran.code != 0 && ran.stderr.contains(&denied), "{ran:?}");
    }
    let (status, body) = {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let path = format!("/v1.41/images/create?fromImage={repository}&tag={tag}");
        bench.client.http("POST", &path, None).unwrap()
    };
    assert_eq!(status, 403, "{body}");
    let load = docker(&["load", "-i", &archive]);
    let words = "image in an archive is denied by the image policy, default";
    assert!(load.code != 0 && load.stderr.contains(words), "{load:?}");
    let import = bench.client.docker_with(&["import", "-"], &[0; 1024]);
    let words = "image in a tarball is denied by the image policy, default";
    assert!(import.code != 0 && import.stderr.contains(words), "{import:?}");
    // What is here may be used.
    assert_eq!(docker(&["run", "--rm", "busybox", "echo", "hi"]).ok(), "hi");
}

#[test]
fn a_wrong_policy_is_none_to_start_with() {
    gantry_rig::need_root();
    let folder = Folder::new();
    let path = folder.path("policy.json");
    for (policy, words) in [
        (None, "cannot read the image policy"),
        (Some(json!({"default": []})), "must not be empty"),
        (
            Some(json!({"default": [{"type": "signedBy"}]})),
            "signedBy (GPG keys) is not implemented",
        ),
    ] {
        if let Some(policy) = policy {
            folder.policy(&policy);
        }
        let error = Daemon::start(Kind::Gantry, Net::Private, &["--image-policy", &path]);
        let error = error.expect_err("it does not start").to_string();
        assert!(error.contains(words), "{error}");
    }
}
