//! A full disk: clear errors, nothing half made, and room to get out of it.

use std::time::Duration;

use gantry_rig::daemon::gantry_binary;
use gantry_rig::leaks::Left;
use gantry_rig::{Daemon, Kind, Net, images};
use rustix::mount::MountFlags;

/// A daemon whose data root is a small file system of its own.
fn on_a_small_disk() -> Daemon {
    gantry_rig::need_root();
    let mut daemon = Daemon::prepare(Kind::Gantry, Net::Private, &[]).unwrap();
    let data = daemon.root.join("data");
    std::fs::create_dir(&data).unwrap();
    let size = c"size=24m";
    rustix::mount::mount("tmpfs", &data, "tmpfs", MountFlags::empty(), Some(size)).unwrap();
    daemon.launch().unwrap();
    images::import_busybox(&daemon.client()).unwrap();
    daemon
}

fn tells_of_space(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("no space left") || text.contains("disk is full")
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let daemon = on_a_small_disk();
    let client = daemon.client();
    let mut archive = Vec::new();
    images::many_files(&mut archive, 100, 100_000, 0).unwrap();
    let _ = client.docker(&["run", "-d", "--name", "lives", "busybox", "sleep", "1000"]).ok();
    let ran = client.docker(&[
        "run",
        "--name",
        "fills",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/f",
        "bs=64k",
    ]);
    assert!(ran.code == 1 && tells_of_space(&ran.stderr), "{ran:?}");
    // The last bytes too.
    let rest = std::process::Command::new("sh")
        .args(["-c", "cat /dev/zero > \"$0\" 2>/dev/null; true"])
        .arg(daemon.root.join("data/rest"))
        .status();
    assert!(rest.unwrap().success());
    // What the ended run leaves goes behind its answer.
    let tasks = daemon.root.join("exec/tasks");
    client.eventually("the ended run is torn down", Duration::from_secs(10), |_| {
        std::fs::read_dir(&tasks).unwrap().count() == 1
    });
    std::thread::sleep(Duration::from_millis(300));
    let before = Left::of(&daemon);
    let volumes = client.docker(&["volume", "ls", "-q"]).ok().to_owned();
    for round in 0..3 {
        for args in [
            &["create", "--name", "one", "-v", "/data", "busybox", "true"][..],
            &["run", "--rm", "-v", "/data", "busybox", "true"],
            &["volume", "create", "named"],
        ] {
            let ran = client.docker(args);
            assert!(
                ran.code != 0 && tells_of_space(&ran.stderr),
                "round {round}: {args:?}: {ran:?}"
            );
        }
        let ran = client.docker_with(&["import", "-", "big"], &archive);
        assert!(ran.code != 0 && tells_of_space(&ran.stderr), "round {round}: import: {ran:?}");
    }
    assert!(client.ping());
    assert_eq!(client.docker(&["ps", "--format", "{{.Names}}"]).ok(), "lives");
    assert_eq!(client.docker(&["volume", "ls", "-q"]).ok(), volumes);
    assert_eq!(client.docker(&["exec", "lives", "echo", "in"]).ok(), "in");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(Left::of(&daemon), before, "something half made stays");
    // The way out: what fills the disk can be removed, though that is to be recorded as well.
    assert_eq!(client.docker(&["rm", "-f", "fills"]).ok(), "fills");
    std::fs::remove_file(daemon.root.join("data/rest")).unwrap();
    client.eventually("there is room again", Duration::from_secs(10), |client| {
        client.docker(&["run", "--rm", "busybox", "echo", "room"]).stdout == "room\n"
    });
    assert_eq!(client.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "lives");
}

#[test]
fn a_build_on_a_full_disk_leaves_nothing_half_made() {
    let daemon = on_a_small_disk();
    let client = daemon.client();
    let context = daemon.root.join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("big"), vec![7; 32 << 20]).unwrap();
    let images = client.docker(&["image", "ls", "-a", "-q"]).ok().to_owned();
    let before = Left::of(&daemon);
    for (step, dockerfile) in [
        ("a step's files", "FROM busybox\nRUN echo first > /a\nRUN dd if=/dev/zero of=/f bs=64k\n"),
        ("copied files", "FROM busybox\nRUN echo first > /a\nCOPY big /big\n"),
    ] {
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        for arguments in [&["build", "-t", "half"][..], &["build", "--no-cache", "-t", "half"]] {
            let arguments = [arguments, &[context.to_str().unwrap()]].concat();
            let ran = client.run(&gantry_binary().unwrap(), &arguments, None);
            assert!(ran.code != 0 && tells_of_space(&ran.stderr), "{step}: {ran:?}");
        }
        assert_eq!(client.docker(&["image", "ls", "-a", "-q"]).ok(), images, "{step}");
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(Left::of(&daemon), before, "something half made stays");
    // What failed took its room with it: the next build has it.
    let dockerfile = "FROM busybox\nRUN dd if=/dev/zero of=/f bs=1M count=8\n";
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let arguments = ["build", "-t", "whole", context.to_str().unwrap()];
    let _ = client.run(&gantry_binary().unwrap(), &arguments, None).ok();
    assert_eq!(client.docker(&["run", "--rm", "whole", "stat", "-c", "%s", "/f"]).ok(), "8388608");
}
