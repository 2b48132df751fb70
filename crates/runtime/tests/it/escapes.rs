//! Ways out of a container that others have had, each tried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};

use crate::house::{House, Runtime, ours};

const GANTRY: Runtime = Runtime::Gantry;

fn shell(spec: &mut Value, script: &str) {
    spec["process"]["args"] = json!(["sh", "-c", script]);
}

fn all_caps(spec: &mut Value) {
    let caps = json!(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL"]);
    spec["process"]["capabilities"] =
        json!({"bounding": caps, "effective": caps, "permitted": caps});
}

/// CVE-2019-5736: a process of the container that waits for execs and writes to their executable.
#[test]
fn the_runtimes_file_cannot_be_written() {
    let house = House::new("exe");
    let id = house.id(GANTRY);
    let before = fs::read(ours()).unwrap();
    house.configure(GANTRY, |spec| {
        all_caps(spec);
        shell(
            spec,
            "while :; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in *gantry-oci*) \
             echo seen >> /tmp/seen; echo x >> $p/exe && echo $p >> /tmp/written;; esac; done; done 2>/dev/null",
        );
    });
    assert_eq!(house.call_detached(GANTRY, &["run", "-d", &id]).code, 0);
    for _ in 0..40 {
        assert_eq!(house.call(GANTRY, &["exec", &id, "true"]).code, 0);
    }
    // A script whose interpreter is the runtime itself, and the runtime as the program.
    fs::write(house.rootfs().join("bin/self"), "#!/proc/self/exe\n").unwrap();
    std::process::Command::new("chmod")
        .arg("755")
        .arg(house.rootfs().join("bin/self"))
        .status()
        .unwrap();
    for program in ["/bin/self", "/proc/self/exe"] {
        house.call(GANTRY, &["exec", &id, program]);
    }
    house.call(GANTRY, &["delete", "-f", &id]);
    assert!(!house.rootfs().join("tmp/written").exists(), "the executable was opened for writing");
    assert!(fs::read(ours()).unwrap() == before, "the executable was changed");
}

/// CVE-2024-21626: descriptors of the host as working directory, or open in the container.
#[test]
fn no_descriptor_leads_out() {
    let house = House::new("leak");
    let id = house.id(GANTRY);
    for number in 0..24 {
        let cwd = format!("/proc/self/fd/{number}");
        let answer = house.run(GANTRY, |spec| {
            spec["process"]["cwd"] = json!(cwd);
            shell(
                spec,
                "pwd; ls ../../../../../../work /proc/1/cwd/../../../etc/shadow 2>/dev/null",
            );
        });
        assert!(answer.code != 0 || answer.stdout.starts_with('/'), "{cwd}: {answer:?}");
        assert!(!answer.stdout.contains("shadow"), "{cwd}: {answer:?}");
    }
    house.configure(GANTRY, |spec| spec["process"]["args"] = json!(["sleep", "600"]));
    assert_eq!(house.call_detached(GANTRY, &["run", "-d", &id]).code, 0);
    for number in 3..24 {
        let cwd = format!("/proc/self/fd/{number}");
        let answer = house.call(GANTRY, &["exec", "--cwd", &cwd, &id, "ls", "etc/shadow"]);
        assert_ne!(answer.code, 0, "{cwd}: {answer:?}");
    }
    let answer = house
        .call(GANTRY, &["exec", &id, "sh", "-c", "ls /proc/self/fd /proc/1/fd | sort -u | wc -l"]);
    // 0, 1, 2, the directory that `ls` reads, an empty line and two headings.
    assert_eq!(answer.stdout.trim(), "7", "{answer:?}");
}

/// CVE-2025-31133 and its kin: names in the image that are not what the runtime takes them for.
#[test]
fn false_names_in_the_image_mask_nothing_else() {
    let house = House::new("dev");
    let target = house.path().join("target");
    fs::write(&target, "host").unwrap();
    // A volume on /dev whose null is a link, or a plain file: masks must still hide.
    let volume = house.path().join("volume");
    for kind in ["link", "file", "missing"] {
        fs::create_dir_all(volume.join("pts")).unwrap();
        match kind {
            "link" => symlink("/etc/passwd", volume.join("null")).unwrap(),
            "file" => fs::write(volume.join("null"), "leaked").unwrap(),
            _ => {}
        }
        let answer = house.run(GANTRY, |spec| {
            spec["mounts"].as_array_mut().unwrap().retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
            spec["mounts"].as_array_mut().unwrap().push(
                json!({"destination": "/dev", "type": "bind", "source": "volume", "options": ["rbind"]}),
            );
            shell(spec, "cat /proc/keys | wc -c; stat -c %t:%T /proc/keys");
        });
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (0, "0\n1:3\n"),
            "{kind}: {}",
            answer.stderr
        );
        fs::remove_dir_all(&volume).unwrap();
    }
    // Plain files in place of devices are replaced by the devices.
    fs::write(house.rootfs().join("dev/null"), "x").unwrap();
    symlink(&target, house.rootfs().join("dev/zero")).unwrap();
    let answer = house.run(GANTRY, |spec| {
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
        shell(spec, "stat -c %t:%T /dev/null /dev/zero");
    });
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "1:3\n1:5\n"), "{}", answer.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "host");
}

/// CVE-2019-19921, CVE-2023-28642: a `/proc` that is a link.
#[test]
fn a_linked_proc_is_refused() {
    for name in ["proc", "sys"] {
        let house = House::new("proc");
        fs::remove_dir(house.rootfs().join(name)).unwrap();
        fs::create_dir(house.rootfs().join("elsewhere")).unwrap();
        symlink("/elsewhere", house.rootfs().join(name)).unwrap();
        let answer = house.run(GANTRY, |_| {});
        assert!(
            answer.code == 1 && answer.stderr.contains("ordinary directory"),
            "{name}: {answer:?}"
        );
    }
}

/// CVE-2021-30465 and its kin: mount destinations that are links out of the root.
#[test]
fn destinations_stay_inside() {
    let house = House::new("dest");
    let outside = house.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(house.path().join("shared")).unwrap();
    fs::write(house.path().join("shared/file"), "shared").unwrap();
    let climbing = format!("../../../../../../../..{}", outside.display());
    for (name, target) in [("absolute", outside.to_str().unwrap()), ("climbing", &climbing)] {
        symlink(target, house.rootfs().join(name)).unwrap();
    }
    for (destination, seen_at) in [
        ("/absolute", "/absolute"),
        ("/climbing/deep", "/climbing/deep"),
        // Names are taken back before links are followed, as other runtimes do.
        ("/absolute/../../x", "/x"),
        ("/../../../../y", "/y"),
    ] {
        let answer = house.run(GANTRY, |spec| {
            spec["mounts"].as_array_mut().unwrap().push(
                json!({"destination": destination, "type": "bind", "source": "shared", "options": ["bind"]}),
            );
            shell(spec, &format!("cat {seen_at}/file"));
        });
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (0, "shared"),
            "{destination}: {}",
            answer.stderr
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{destination}");
    }
}

/// The same with somebody who swaps a directory and a link in a shared volume all the while.
#[test]
fn destinations_stay_inside_while_they_change() {
    let house = House::new("race");
    let outside = house.path().join("outside");
    let volume = house.path().join("volume");
    for path in [&outside, &volume.join("real"), &house.path().join("shared")] {
        fs::create_dir_all(path).unwrap();
    }
    symlink(format!("../../../../../../../../..{}", outside.display()), volume.join("link"))
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let racer = std::thread::spawn({
        let (stop, volume) = (Arc::clone(&stop), volume.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (volume.join("real"), volume.join("link"));
                let _ = rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
            }
        }
    });
    let rounds = 60;
    for _ in 0..rounds {
        house.run(GANTRY, |spec| {
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/vol", "type": "bind", "source": "volume", "options": ["bind"]}));
            for below in ["real/a/b", "link/c/d"] {
                mounts.push(json!({"destination": format!("/vol/{below}"), "type": "bind", "source": "shared", "options": ["bind"]}));
            }
        });
    }
    stop.store(true, Ordering::Relaxed);
    racer.join().unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made outside");
}

/// Nothing below `/sys` can be written by the container's root.
#[test]
fn sys_is_read_only() {
    let house = House::new("sys");
    let answer = house.run(GANTRY, |spec| {
        spec["mounts"].as_array_mut().unwrap().push(
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}),
        );
        shell(
            spec,
            "for d in /sys /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; \
             for f in /sys/kernel/uevent_helper /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/notify_on_release; do \
             [ -e $f ] && echo x 2>/dev/null > $f && echo $f; done; true",
        );
    });
    assert_eq!(answer.stdout, "", "{}", answer.stderr);
    assert!(Path::new("/sys").exists());
}
