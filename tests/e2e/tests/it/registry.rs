//! Images through Debian's registry, by the real docker CLI, by ours and by skopeo.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gantry_rig::daemon::{gantry_binary, inside};
use gantry_rig::registry::{PASSWORD, Registry, Server, USER};
use gantry_rig::{Client, Daemon, Kind, Net};

fn registry(daemon: &Daemon, server: Server) -> Registry {
    let directory = daemon.root.join("registry");
    Registry::start(server, &directory, daemon.netns_pid()).expect("the registry starts")
}

/// Our own command line, with a configuration of its own.
pub(crate) fn gantry(client: &Client, daemon: &Daemon, args: &[&str]) -> gantry_rig::Ran {
    let mut command = client.command(&gantry_binary().unwrap());
    command.args(args).env("DOCKER_CONFIG", daemon.root.join("config"));
    gantry_rig::client::finish(command, None)
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn two_daemons_meet_at_a_registry() {
    let one = crate::gantry();
    let other = Daemon::start(Kind::Gantry, Net::Of(one.netns_pid().unwrap()), &[]).unwrap();
    let (here, there) = (one.client(), other.client());
    let registry = registry(&one, Server::Debian);
    let name = format!("{}/team/app:1", registry.address);
    let folder = one.root.join("app");
    std::fs::create_dir_all(&folder).unwrap();
    let dockerfile = "FROM busybox\nRUN seq 200000 > /data\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n";
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let build = |line: &str| {
        std::fs::write(folder.join("f"), line).unwrap();
        let _ =
            gantry(&here, &one, &["build", "-q", "-t", &name, &folder.display().to_string()]).ok();
        let ran = here.docker(&["push", &name]);
        let _ = ran.ok();
        ran.stdout
    };
    build("first\n");
    let _ = there.docker(&["pull", &name]).ok();
    assert_eq!(there.docker(&["run", "--rm", &name]).ok(), "first");
    let id = |client: &Client| client.inspect(&name)["Id"].clone();
    assert_eq!(id(&here), id(&there));
    // One line is changed: one layer goes and comes.
    let pushed = build("second\n");
    assert_eq!(pushed.matches(": Pushed").count(), 1, "{pushed}");
    let pulled = there.docker(&["pull", &name]).ok().to_owned();
    assert_eq!(pulled.matches(": Pull complete").count(), 1, "{pulled}");
    assert!(pulled.matches(": Already exists").count() >= 2, "{pulled}");
    assert!(pulled.contains("Status: Downloaded newer image for"), "{pulled}");
    assert_eq!(there.docker(&["run", "--rm", &name]).ok(), "second");
    // Pushed again from where it came to, nothing goes, and nothing changes.
    let digest = |text: &str| text.rsplit_once("digest: ").unwrap().1.trim().to_owned();
    let again = there.docker(&["push", &name]).ok().to_owned();
    assert!(!again.contains(": Pushed"), "{again}");
    assert_eq!(digest(&again), digest(&build("second\n")));
    let digests = there.inspect(&name)["RepoDigests"].clone();
    let sha = digest(&again).split(' ').next().unwrap().to_owned();
    assert!(digests.as_array().unwrap().iter().any(|one| text(one).ends_with(&sha)), "{digests}");
}

#[test]
fn run_fetches_what_is_missing() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let registry = registry(&daemon, Server::Debian);
    let name = format!("{}/bb", registry.address);
    for command in [&["tag", "busybox", &name][..], &["push", &name], &["rmi", &name]] {
        let _ = client.docker(command).ok();
    }
    for run in [
        client.docker(&["run", "--rm", &name, "echo", "hi"]),
        gantry(&client, &daemon, &["run", "--rm", "--pull", "always", &name, "echo", "hi"]),
    ] {
        assert_eq!(run.ok(), "hi");
        assert!(run.stderr.contains("latest: Pulling from bb"), "{}", run.stderr);
    }
    let _ = client.docker(&["rmi", &name]).ok();
    let never = client.docker(&["run", "--rm", "--pull", "never", &name, "true"]);
    assert!(never.code == 125 && never.stderr.contains("No such image"), "{never:?}");
    let events = client.shell(
        "docker events --since 1 --until $(($(date +%s) + 1)) --format '{{.Action}} {{.Actor.ID}}'",
    );
    for action in ["push", "pull"] {
        let line = format!("{action} {name}:latest");
        assert!(events.ok().lines().any(|told| told == line), "{line}: {events:?}");
    }
    // So do builds.
    let text = format!("FROM {name}\nRUN echo built > /f\nCMD cat /f\n");
    let ours = gantry(&client, &daemon, &["pull", "-q", &name]);
    assert_eq!(ours.ok(), format!("{name}:latest"));
    let _ = client.docker(&["rmi", &name]).ok();
    let built = client.run(
        Path::new("sh"),
        &[
            "-c",
            &format!(
                "printf '{}' | DOCKER_BUILDKIT=0 docker build -q -t b -",
                text.replace('\n', "\\n")
            ),
        ],
        None,
    );
    let _ = built.ok();
    assert_eq!(client.docker(&["run", "--rm", "b"]).ok(), "built");
}

#[test]
fn who_has_logged_in_may_push() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let registry = registry(&daemon, Server::Asking);
    let address = registry.address.clone();
    let name = format!("{address}/mine:1");
    let _ = client.docker(&["tag", "busybox", &name]).ok();
    let refused = gantry(&client, &daemon, &["push", &name]);
    assert!(
        refused.code == 1 && refused.stderr.contains("no basic auth credentials"),
        "{refused:?}"
    );
    let wrong = gantry(&client, &daemon, &["login", "-u", USER, "-p", "wrong", &address]);
    assert!(wrong.code == 1 && wrong.stderr.contains("401 Unauthorized"), "{wrong:?}");
    let mut login = client.command(&gantry_binary().unwrap());
    login.args(["login", "-u", USER, "--password-stdin", &address]);
    login.env("DOCKER_CONFIG", daemon.root.join("config")).stdin(std::process::Stdio::piped());
    let right = gantry_rig::client::finish(login, Some(format!("{PASSWORD}\n").as_bytes()));
    assert!(right.ok().ends_with("Login Succeeded"), "{right:?}");
    let _ = gantry(&client, &daemon, &["push", &name]).ok();
    let _ = client.docker(&["rmi", &name]).ok();
    let _ = gantry(&client, &daemon, &["pull", &name]).ok();
    let found = gantry(&client, &daemon, &["search", &format!("{address}/mi")]);
    assert!(found.ok().contains(&format!("{address}/mine")), "{found:?}");
    let log = std::fs::read_to_string(daemon.root.join("daemon.log")).unwrap();
    assert!(!log.contains(PASSWORD) && !log.contains("YWxpY2U6"), "{log}");
    let _ = gantry(&client, &daemon, &["logout", &address]).ok();
    let refused = gantry(&client, &daemon, &["pull", &name]);
    assert!(refused.code == 1, "{refused:?}");
}

#[test]
fn skopeo_and_manifests() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let registry = registry(&daemon, Server::Debian);
    let name = |tag: &str| format!("{}/m:{tag}", registry.address);
    let _ = client.docker(&["tag", "busybox", &name("amd64")]).ok();
    let pushed = client.docker(&["push", &name("amd64")]).ok().to_owned();
    let raw = |tag: &str| {
        let mut skopeo = inside(daemon.netns_pid(), Path::new("skopeo"));
        let url = format!("docker://{}", name(tag));
        skopeo.args(["inspect", "--raw", "--tls-verify=false", &url]);
        gantry_rig::client::finish(skopeo, None).ok().to_owned()
    };
    let digest = gantry_oci::Digest::of(raw("amd64").as_bytes()).to_string();
    assert!(pushed.contains(&digest), "{pushed}");
    let manifest = |args: &[&str]| gantry(&client, &daemon, &[&["manifest"], args].concat());
    let _ = manifest(&["create", &name("all"), &name("amd64")]).ok();
    let _ = manifest(&["annotate", "--variant", "v2", &name("all"), &name("amd64")]).ok();
    let wrong = manifest(&["annotate", "--arch", "z80", &name("all"), &name("amd64")]);
    assert!(wrong.stderr.contains("unsupported os/arch combination"), "{wrong:?}");
    let _ = manifest(&["push", "--purge", &name("all")]).ok();
    let index: serde_json::Value = serde_json::from_str(&raw("all")).unwrap();
    assert_eq!(text(&index["manifests"][0]["digest"]), digest);
    assert_eq!(text(&index["manifests"][0]["platform"]["variant"]), "v2");
    let shown: serde_json::Value =
        serde_json::from_str(manifest(&["inspect", &name("all")]).ok()).unwrap();
    assert_eq!(shown, index);
    let none = manifest(&["inspect", &name("none")]);
    assert_eq!(none.stderr.trim_end(), format!("no such manifest: {}", name("none")));
    // What skopeo has copied is pulled as it is.
    let mut copy = inside(daemon.netns_pid(), Path::new("skopeo"));
    let url = |tag: &str| format!("docker://{}", name(tag));
    copy.args(["copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format=v2s2"]);
    copy.args([url("amd64"), url("copied")]);
    let _ = gantry_rig::client::finish(copy, None).ok();
    let _ = client.docker(&["pull", &name("copied")]).ok();
    assert_eq!(client.inspect(&name("copied"))["Id"], client.inspect("busybox")["Id"]);
}

#[test]
fn a_daemon_that_dies_in_a_pull_goes_on_with_it() {
    let mut daemon = crate::gantry();
    let registry = registry(&daemon, Server::Debian);
    let name = format!("{}/large:1", registry.address);
    let archive = daemon.root.join("large.tar");
    gantry_rig::images::large_image(&archive, "large", 4000, 7).unwrap();
    let client = daemon.client().patient(Duration::from_secs(300));
    let path = archive.display().to_string();
    for command in [
        &["load", "-i", &path][..],
        &["tag", "large", &name],
        &["push", &name],
        &["rmi", "-f", "large", &name],
    ] {
        let _ = client.docker(command).ok();
    }
    let ingest = daemon.root.join("data/content/ingest");
    let mut killed = 0;
    for _ in 0..20 {
        let mut pull: std::process::Child = {
            let mut command: Command = client.command(Path::new("docker"));
            command.args(["pull", "-q", &name]).stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null()).spawn().unwrap()
        };
        std::thread::sleep(Duration::from_millis(60));
        daemon.kill().unwrap();
        killed += usize::from(ingest.read_dir().is_ok_and(|mut files| files.next().is_some()));
        let _ = pull.kill();
        let _ = pull.wait();
        let _ = daemon.launch().unwrap();
        if client.docker(&["image", "inspect", &name]).code == 0 || killed > 2 {
            break;
        }
    }
    let _ = client.docker(&["pull", &name]).ok();
    assert_eq!(ingest.read_dir().unwrap().count(), 0, "nothing is left half");
    let id = client.inspect(&name)["RootFS"]["Layers"][0].clone();
    assert!(text(&id).starts_with("sha256:"));
    // Who leaves has cancelled: nothing of the pull goes on.
    let _ = client.docker(&["rmi", "-f", &name]).ok();
    let mut pull = client.command(Path::new("docker"));
    pull.args(["pull", "-q", &name]);
    let mut pull = pull.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(40));
    let _ = pull.kill();
    let _ = pull.wait();
    let _ = client.docker(&["pull", &name]).ok();
}
