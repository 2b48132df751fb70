//! A real distribution: Debian by debootstrap, limits that hold, packages from the outside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_rig::{Client, Net};

/// Servers that the tests run, in the same root as the rest: it is made once.
const SERVERS: &str = "mariadb-server,nginx-light,redis-server";
/// What nobody reads in a container.
const LEFT_OUT: [&str; 5] =
    ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"];

/// Imports Debian with the servers of the tests, under the name `debian`.
pub(crate) fn import_debian(client: &Client) {
    let archive = debian_archive();
    let archive = archive.to_str().unwrap();
    let _ = client.docker(&["import", "--change", "CMD bash", archive, "debian"]).ok();
}

/// The root as a tar below the target directory, made when it is not there.
fn debian_archive() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    fs::create_dir_all(&folder).unwrap();
    // Tests of this and of other processes want it at the same time.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let archive = folder.join(format!("bookworm,{SERVERS}.tar"));
    if !archive.is_file() {
        let root = folder.join("root");
        let _ = fs::remove_dir_all(&root);
        make_root(&root);
        let part = folder.join("part");
        let tar = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&part).arg(".").output();
        assert!(tar.unwrap().status.success());
        fs::rename(&part, &archive).unwrap();
        let _ = fs::remove_dir_all(&root);
    }
    archive
}

fn make_root(root: &Path) {
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--include={SERVERS}"), "bookworm"])
        .arg(root)
        .output()
        .expect("debootstrap is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    for name in LEFT_OUT {
        let _ = fs::remove_dir_all(root.join(name));
    }
    // The host's own package sources: a mirror may be configured there.
    let _ = fs::remove_file(root.join("etc/apt/sources.list"));
    for folder in ["etc/apt/sources.list.d", "etc/apt/apt.conf.d"] {
        for entry in fs::read_dir(Path::new("/").join(folder)).unwrap().flatten() {
            let _ = fs::copy(entry.path(), root.join(folder).join(entry.file_name()));
        }
    }
}

#[test]
fn debian_installs_a_package_under_limits() {
    let daemon = crate::gantry_with(Net::Host, &[]);
    let client = daemon.client();
    import_debian(&client);
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
