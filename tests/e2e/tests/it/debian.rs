//! A real distribution: Debian by debootstrap, limits that hold, packages from the outside.

use std::path::Path;

use gantry_rig::{Client, Net};

/// Servers that the tests run, in the same root as the rest: it is made once.
const SERVERS: &str = "mariadb-server,nginx-light,redis-server";
/// Imports Debian with the servers of the tests, under the name `debian`.
pub(crate) fn import_debian(client: &Client) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    let archive = gantry_rig::debian::archive(&folder, SERVERS).unwrap();
    let archive = archive.to_str().unwrap();
    let _ = client.docker(&["import", "--change", "CMD bash", archive, "debian"]).ok();
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

#[test]
fn the_root_cannot_be_left() {
    let daemon = crate::gantry_with(Net::Host, &[]);
    let client = daemon.client();
    import_debian(&client);
    // A root below one's own, and the working directory above it: from there ".." leads up to
    // whatever is there, which is the container's root and nothing above.
    let leave = r#"
        mkdir "/below" or die "mkdir: $!"; opendir my $root, "/" or die "opendir: $!";
        chroot "/below" or die "chroot: $!"; chdir $root or die "chdir: $!";
        chdir ".." for 1 .. 64; chroot "." or die "chroot: $!";
        print join " ", sort grep { $_ ne "/below" } glob "/*";
    "#;
    for privileged in [&[][..], &["--privileged"]] {
        let run = |program: &[&str]| {
            let ran = client.docker(&[&["run", "--rm"], privileged, &["debian"], program].concat());
            ran.ok().to_owned()
        };
        let whole = run(&["sh", "-c", "echo /*"]);
        assert!(whole.contains("/etc") && !whole.contains("/below"), "{whole}");
        assert_eq!(run(&["perl", "-e", leave]), whole);
        // Nor is anything but the container's mounts in its table.
        let mounts = run(&["cat", "/proc/self/mountinfo"]);
        let roots = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/")).count();
        assert_eq!(roots, 1, "{mounts}");
    }
}
