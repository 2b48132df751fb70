//! Builds the shim, so that the one program carries the other: static, small, for the same target.
//!
//! The shim needs flags of its own (static, without position independence, so that an idle one
//! costs as little memory as can be), hence a build of its own in this crate's output directory.
//! `GANTRY_SHIM_BINARY` names a ready one instead.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a change means a new shim, below the workspace.
const SOURCES: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "bin/shim",
    "crates/cgroup",
    "crates/fault",
    "crates/logs",
    "crates/oci",
    "crates/runtime",
    "crates/seccomp",
    "crates/shim-proto",
    "crates/sys",
];
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";

fn main() {
    println!("cargo::rerun-if-env-changed=GANTRY_SHIM_BINARY");
    let shim = match env::var_os("GANTRY_SHIM_BINARY") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", Path::new(&path).display());
            PathBuf::from(path)
        }
        None => build(),
    };
    assert!(shim.is_file(), "no shim at {}", shim.display());
    println!("cargo::rustc-env=GANTRY_SHIM_FILE={}", shim.display());
    println!("cargo::rustc-env=GANTRY_COMPILER={}", compiler());
}

fn build() -> PathBuf {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let output = PathBuf::from(variable("OUT_DIR")).join("shim");
    let target = variable("TARGET");
    let mut command = Command::new(variable("CARGO"));
    command
        .current_dir(&workspace)
        .args(["build", "--locked", "--package", "gantry-shim", "--profile", "shim"])
        // Every byte of every container's output goes through there.
        .args(["--config", "profile.shim.package.gantry-logs.opt-level=3"])
        .args(["--config", "profile.shim.package.memchr.opt-level=3"])
        // Naming the target keeps the static flags from build scripts and macros.
        .arg("--target")
        .arg(&target)
        .arg("--target-dir")
        .arg(&output)
        .env("RUSTFLAGS", STATIC)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // A lint run would otherwise only check the shim.
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    if variable("PROFILE") == "debug" {
        // While developing, a quick build counts for more than a small shim.
        command
            .env("CARGO_PROFILE_SHIM_LTO", "off")
            .env("CARGO_PROFILE_SHIM_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_SHIM_OPT_LEVEL", "1");
    }
    let status = command.status().expect("cargo can be executed");
    assert!(status.success(), "building the shim failed");
    output.join(target).join("shim").join("gantry-shim")
}

/// What compiled this program, such as `rustc 1.95.0`: `/version` tells it.
fn compiler() -> String {
    let output = Command::new(variable("RUSTC")).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().split(" (").next().unwrap_or_default().trim().to_owned()
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}
