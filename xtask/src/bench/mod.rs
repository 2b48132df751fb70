//! Gantry beside docker.io and crun, in one run: ratios of medians, since machines are noisy.
//!
//! Both daemons run at the same time, each in a network namespace and directories of its own;
//! samples alternate, so that a slow moment of the machine hits both. The reference is docker.io,
//! crun where its name is in the row, and ours in the quiet case where it says "against". Our
//! daemon makes the whole kernel's control group moves fast, which docker.io profits from, too.

mod api;
mod builds;
mod crowd;
mod networks;
mod path;
mod registries;
mod rows;
mod sample;
mod size;
mod streams;
mod traffic;

use gantry_rig::{Daemon, Kind, Net, images};

use rustix::mount::MountFlags;

use crate::chore::{ChoreError, io};
use rows::{ROWS, Rig};

/// Measures every row whose name contains `filter`.
pub(crate) fn run(filter: Option<&str>, smoke: bool) -> Result<(), ChoreError> {
    let start = |kind| daemon(kind).map_err(io("starting a daemon"));
    let rig = Rig { docker: start(Kind::Docker)?, gantry: start(Kind::Gantry)?, smoke };
    for daemon in [&rig.docker, &rig.gantry] {
        images::import_busybox(&daemon.client()).map_err(io("importing busybox"))?;
    }
    println!(
        "{:<42} {:>12} {:>12} {:>9} {:>12}",
        "what", "reference", "gantry", "ratio", "to reach"
    );
    let (mut reached, mut missed, mut failed) = (0, 0, 0);
    for row in ROWS {
        if filter.is_some_and(|filter| !row.name.contains(filter)) {
            continue;
        }
        match (row.measure)(&rig) {
            Ok(pair) => {
                let good = row.goal.reached(&pair);
                *(if good { &mut reached } else { &mut missed }) += 1;
                println!(
                    "{:<42} {:>12} {:>12} {:>9.3} {:>12} {}",
                    row.name,
                    sample::show(pair.reference, row.unit),
                    sample::show(pair.gantry, row.unit),
                    pair.gantry / pair.reference,
                    sample::show_goal(row.goal, row.unit),
                    if good { "" } else { "MISSED" }
                );
            }
            Err(error) => {
                failed += 1;
                println!("{:<42} FAILED: {error}", row.name);
            }
        }
        for daemon in [&rig.docker, &rig.gantry] {
            daemon.remove_containers();
        }
    }
    println!("bench: {reached} reached, {missed} missed, {failed} could not be measured");
    if failed == 0 { Ok(()) } else { Err(ChoreError::Failed("the bench".to_owned())) }
}

/// A daemon whose exec root is in memory, as `/run` is on a host that systemd runs.
fn daemon(kind: Kind) -> std::io::Result<Daemon> {
    let mut daemon = Daemon::prepare(kind, Net::Private, &[])?;
    let exec = daemon.root.join("exec");
    std::fs::create_dir_all(&exec)?;
    rustix::mount::mount("tmpfs", &exec, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    daemon.launch()?;
    Ok(daemon)
}
