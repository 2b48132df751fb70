//! `gantry oci`: the runtime's life cycle through the real program.

use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_rig::client::finish;
use gantry_rig::{Ran, images};

/// A bundle and a runtime root that go with the test.
struct Bundle {
    folder: PathBuf,
    id: String,
}

impl Bundle {
    fn new() -> Self {
        gantry_rig::need_root();
        let id = format!("gtroci{}", std::process::id());
        let bundle = Self { folder: std::env::temp_dir().join(&id), id };
        let rootfs = bundle.folder.join("rootfs");
        std::fs::create_dir_all(&rootfs).unwrap();
        let tar = bundle.folder.join("root.tar");
        std::fs::write(&tar, images::busybox_root().unwrap()).unwrap();
        let unpacked = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&rootfs).status();
        assert!(unpacked.unwrap().success());
        bundle
    }

    /// Writes the example configuration, changed to a plain process in its own control group.
    fn configure(&self, args: &[&str]) {
        let _ = std::fs::remove_file(self.folder.join("config.json"));
        let _ = self.oci(&["spec"]).ok();
        let path = self.folder.join("config.json");
        let mut spec: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = args.into();
        spec["linux"]["cgroupsPath"] = format!("/{0}/{0}", self.id).into();
        std::fs::write(&path, spec.to_string()).unwrap();
    }

    fn oci(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(gantry_rig::daemon::gantry_binary().unwrap());
        command.current_dir(&self.folder).arg("oci").arg("--root").arg(self.folder.join("state"));
        // A created container's first process keeps these open: no pipes, or nobody sees the end.
        let (out, err) = (self.folder.join("out"), self.folder.join("err"));
        command.args(args).stdin(std::process::Stdio::null());
        if args[0] == "create" {
            let mut shell = Command::new("sh");
            shell.args(["-c", "\"$@\" >out 2>err", "sh"]).arg(command.get_program());
            shell.args(command.get_args()).current_dir(&self.folder);
            let ran = finish(shell, None);
            let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
            return Ran { stdout: read(&out), stderr: read(&err), ..ran };
        }
        finish(command, None)
    }

    fn status(&self) -> String {
        let state: serde_json::Value =
            serde_json::from_str(self.oci(&["state", &self.id]).ok()).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.oci(&["delete", "--force", &self.id]);
        for path in gantry_rig::daemon::cgroups_named(&self.id) {
            let _ = std::fs::remove_dir(path);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_container_lives_through_all_commands() {
    let bundle = Bundle::new();
    let id = bundle.id.as_str();
    bundle.configure(&["sh", "-c", "echo hello; exit 3"]);
    let ran = bundle.oci(&["run", id]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "hello\n"), "{ran:?}");
    bundle.configure(&["sleep", "1000"]);
    let _ = bundle.oci(&["create", id]).ok();
    assert_eq!(bundle.status(), "created");
    assert_ne!(bundle.oci(&["create", id]).code, 0, "the id is taken");
    let _ = bundle.oci(&["start", id]).ok();
    assert_eq!(bundle.status(), "running");
    assert_ne!(bundle.oci(&["start", id]).code, 0, "it runs already");
    assert_eq!(bundle.oci(&["exec", id, "echo", "in"]).ok(), "in");
    assert_eq!(bundle.oci(&["exec", id, "sh", "-c", "exit 7"]).code, 7);
    assert!(bundle.oci(&["ps", id]).ok().contains("sleep"));
    assert!(bundle.oci(&["list"]).ok().contains(id));
    let _ = bundle.oci(&["pause", id]).ok();
    assert_eq!(bundle.status(), "paused");
    let _ = bundle.oci(&["resume", id]).ok();
    assert_ne!(bundle.oci(&["delete", id]).code, 0, "it still runs");
    let _ = bundle.oci(&["kill", id, "KILL"]).ok();
    let begin = std::time::Instant::now();
    while bundle.status() != "stopped" {
        assert!(begin.elapsed().as_secs() < 10, "it does not stop");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let _ = bundle.oci(&["delete", id]).ok();
    assert_ne!(bundle.oci(&["state", id]).code, 0, "it is gone");
    for group in gantry_rig::daemon::cgroups_named(id) {
        let below = std::fs::read_dir(&group).unwrap().flatten().filter(|e| e.path().is_dir());
        assert_eq!(below.count(), 0, "left in {}", group.display());
    }
}
