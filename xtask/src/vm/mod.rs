//! A small machine of its own, for what the host at hand may not show: cgroup v2, an older kernel.
//!
//! ```text
//! kernel.rs    Debian's cloud kernel, downloaded and unpacked, never installed
//! modules.rs   which of its modules go in, by modules.dep
//! userland.rs  busybox, crun, gantry with their libraries, a root file system, tests/vm
//! cpio.rs      all that as one initramfs
//! machine.rs   qemu by software emulation, with a time limit
//! report.rs    what the machine says over its serial port
//! ```
//!
//! In the machine, `tests/vm/init` runs the scripts of [`plan`] one by one. Those of `tests/vm/oci`
//! run once on crun, which proves the script, and once on `gantry oci`.

mod cpio;
mod kernel;
mod machine;
mod modules;
mod plan;
mod report;
mod userland;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::chore::{ChoreError, io, root};

/// Boots the machine and runs the tests whose name contains `filter`; with `smoke`, only a few.
pub(crate) fn run(filter: Option<&str>, smoke: bool) -> Result<(), ChoreError> {
    let tests = plan::make(&root().join("tests/vm"), filter, smoke)?;
    if tests.is_empty() {
        return Err(ChoreError::Text("no test has such a name".to_owned()));
    }
    let gantry = if plan::needs_gantry(&tests) {
        Some(gantry_rig::daemon::gantry_binary().map_err(io("gantry"))?)
    } else {
        None
    };
    crate::setup::install_for_vm()?;
    let kernel = kernel::obtain(&cache()?)?;

    let begin = Instant::now();
    let mut tree = cpio::Tree::default();
    modules::add(&mut tree, &kernel)?;
    userland::add(&mut tree, gantry.as_deref(), &root().join("tests/vm"))?;
    tree.file("tests/plan", 0o644, plan::text(&tests).into_bytes());
    let initramfs = in_memory(&tree).map_err(io("writing the initramfs"))?;
    let mib = initramfs.metadata().map_or(0, |metadata| metadata.len() >> 20);
    println!("vm: linux {}, initramfs of {mib} MiB in {:.1?}", kernel.release, begin.elapsed());

    let names = tests.iter().map(|test| test.name.clone());
    let report = machine::boot(&kernel.image, &initramfs, report::Report::expecting(names))?;
    println!("{} passed, {} failed", report.passed(), report.failed());
    if report.is_good() {
        Ok(())
    } else {
        Err(ChoreError::Failed("the machine's suite".to_owned()))
    }
}

/// The tree as an archive that no directory has: nothing is left of it, however this program ends.
fn in_memory(tree: &cpio::Tree) -> std::io::Result<File> {
    let file = rustix::fs::memfd_create("initramfs", rustix::fs::MemfdFlags::CLOEXEC)?.into();
    tree.write(&file)?;
    Ok(file)
}

/// Where the kernel is kept between runs: beside what cargo builds, so that `cargo clean` takes it.
fn cache() -> Result<PathBuf, ChoreError> {
    let own = std::env::current_exe().map_err(io("own path"))?;
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let cache = target.join("vm");
    std::fs::create_dir_all(&cache).map_err(io("making the kernel's directory"))?;
    Ok(cache)
}
