//! A real distribution: Debian by debootstrap, limits that hold, packages from the outside.

use std::process::Command;

use gantry_rig::{Net, images};

/// Makes Debian's minimal root as a tar, without its package cache.
fn debian_root(folder: &std::path::Path) -> Vec<u8> {
    let root = folder.join("debian");
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", "bookworm"])
        .arg(&root)
        .output()
        .expect("debootstrap is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    // The host's own package sources: a mirror may be configured there.
    let _ = std::fs::remove_file(root.join("etc/apt/sources.list"));
    for folder in ["etc/apt/sources.list.d", "etc/apt/apt.conf.d"] {
        for entry in std::fs::read_dir(std::path::Path::new("/").join(folder)).unwrap().flatten() {
            let _ = std::fs::copy(entry.path(), root.join(folder).join(entry.file_name()));
        }
    }
    let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().unwrap();
    assert!(tar.status.success());
    let _ = std::fs::remove_dir_all(&root);
    tar.stdout
}

#[test]
fn debian_installs_a_package_under_limits() {
    let daemon = crate::gantry_with(Net::Host, &[]);
    let client = daemon.client();
    let root = debian_root(&daemon.root);
    images::import(&client, &root, "debian", &["CMD bash"]).unwrap();
    let script = "apt-get update -qq && apt-get install -y -qq --no-install-recommends cowsay >/dev/null 2>&1; /usr/games/cowsay isolated";
    let ran =
        client.docker(&["run", "--rm", "-m", "512m", "--cpus", "1", "debian", "sh", "-c", script]);
    assert!(ran.ok().contains("< isolated >"), "{ran:?}");
    // The memory limit holds: a process that wants more is killed, and the engine says why.
    let greedy = "perl -e '$x = \"a\" x (256 << 20); print length $x'";
    let ran = client.docker(&[
        "run",
        "--name",
        "greedy",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        "debian",
        "sh",
        "-c",
        &format!("exec {greedy}"),
    ]);
    assert_eq!(ran.code, 137, "{ran:?}");
    assert_eq!(client.inspect("greedy")["State"]["OOMKilled"], true);
    // The CPU limit holds: half a CPU gives half the time.
    let busy = "perl -e 'my $e = time + 3; 1 while time < $e; print((times)[0] + (times)[1])'";
    let ran = client.docker(&["run", "--rm", "--cpus", "0.5", "debian", "sh", "-c", busy]);
    let seconds: f64 = ran.ok().parse().unwrap();
    assert!(seconds < 2.2, "{seconds} s of CPU in at most 3 s at half a CPU");
}
