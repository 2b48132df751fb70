//! What the tests need from Debian.

use crate::chore::{ChoreError, run};

/// Debian packages that tests and comparisons run: the oracles and the real clients.
const PACKAGES: &[&str] = &[
    "buildah",
    "busybox-static",
    "ca-certificates",
    "crun",
    "debootstrap",
    "docker-registry",
    "docker.io",
    "iproute2",
    "iptables",
    "nftables",
    "openssl",
    "pebble",
    "podman",
    "procps",
    "python3-docker",
    "python3-venv",
    "runc",
    "skopeo",
    "util-linux",
];

/// Debian packages that the small machine is made of and run by.
const VM_PACKAGES: &[&str] = &["busybox-static", "crun", "kmod", "qemu-system-x86", "util-linux"];

/// Installs what is missing.
pub(crate) fn install() -> Result<(), ChoreError> {
    install_packages(PACKAGES)
}

/// Installs what the small machine needs and is missing.
pub(crate) fn install_for_vm() -> Result<(), ChoreError> {
    install_packages(VM_PACKAGES)
}

fn install_packages(wanted: &[&'static str]) -> Result<(), ChoreError> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(ChoreError::Text(format!(
            "as root: apt-get install --no-install-recommends {}",
            missing.join(" ")
        )));
    }
    // The package's scripts would start dockerd; tests start their own, with roots of their own.
    let policy = std::path::Path::new("/usr/sbin/policy-rc.d");
    let made = !policy.exists();
    if made {
        write_policy(policy)?;
    }
    let installed = run("apt-get", &["update", "-qq"]).and_then(|()| {
        let options = ["install", "-y", "-qq", "--no-install-recommends"];
        run("apt-get", &[&options[..], &missing[..]].concat())
    });
    if made {
        let _ = std::fs::remove_file(policy);
    }
    installed
}

fn write_policy(path: &std::path::Path) -> Result<(), ChoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, "#!/bin/sh\nexit 101\n").map_err(crate::chore::io("policy-rc.d"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(crate::chore::io("policy-rc.d"))
}

fn installed(package: &str) -> bool {
    std::process::Command::new("dpkg-query")
        .args(["-W", "-f", "${Status}", package])
        .output()
        .is_ok_and(|output| output.stdout.ends_with(b"install ok installed"))
}
