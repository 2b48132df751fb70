//! podman loads what we save, and we load what podman saves.

use std::{fs, path::Path, process::Command};

use crate::{Home, busybox_layers, docker_archive, gzip, root};

struct Podman<'a>(&'a Path);

impl Podman<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("podman")
            .arg("--root")
            .arg(self.0.join("root"))
            .arg("--runroot")
            .arg(self.0.join("run"))
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "podman {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn podman_agrees() {
    if !root() {
        return;
    }
    if Command::new("podman").arg("--version").output().is_err() {
        eprintln!("SKIPPED: needs podman");
        return;
    }
    let layers = busybox_layers();
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    for (kind, stored) in [("plain", &layers), ("gzip", &packed)] {
        let home = Home::new();
        home.load(&docker_archive("busybox:1", &layers, stored)).unwrap();
        let id = home.images.resolve("busybox:1").unwrap().id.clone();
        let archive = home.path("save.tar");
        fs::write(&archive, home.save(&["busybox:1"])).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let podman = Podman(dir.path());
        podman.run(&["load", "-i", archive.to_str().unwrap()]);
        let listed =
            podman.run(&["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"]);
        assert!(
            listed.contains(&format!("{id} ")) && listed.contains("library/busybox:1"),
            "{kind}: {listed}"
        );
        for format in ["docker-archive", "oci-archive"] {
            let theirs = dir.path().join(format);
            podman.run(&[
                "save",
                "--format",
                format,
                "-o",
                theirs.to_str().unwrap(),
                "docker.io/library/busybox:1",
            ]);
            let again = Home::new();
            let loaded = again.load(&fs::read(&theirs).unwrap()).unwrap();
            assert_eq!(loaded.images[0].1, ["busybox:1"], "{kind} {format}");
            let lowers = again.images.resolve("busybox:1").unwrap().lowers();
            assert_eq!(
                lowers,
                home.images.resolve("busybox:1").unwrap().lowers(),
                "{kind} {format}"
            );
        }
        podman.run(&["rmi", "-af"]);
    }
}
