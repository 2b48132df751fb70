//! A real distribution as an image: Debian by debootstrap.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which Debian.
const SUITE: &str = "bookworm";
/// What nobody reads in a container.
const LEFT_OUT: [&str; 5] =
    ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"];

/// A root of Debian with these packages (separated by commas) as a tar in `folder`, made when it
/// is not there. Tests of this and of other processes may want it at the same time.
///
/// # Errors
/// Without debootstrap, root or a mirror.
pub fn archive(folder: &Path, packages: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let archive = folder.join(format!("{SUITE},{packages}.tar"));
    if !archive.is_file() {
        let root = folder.join("root");
        let _ = fs::remove_dir_all(&root);
        make_root(&root, packages)?;
        let part = folder.join("part");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&part).arg("."))?;
        fs::rename(&part, &archive)?;
        let _ = fs::remove_dir_all(&root);
    }
    Ok(archive)
}

fn make_root(root: &Path, packages: &str) -> io::Result<()> {
    let mut command = Command::new("debootstrap");
    command.arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={packages}"));
    }
    run(command.arg(SUITE).arg(root))?;
    for name in LEFT_OUT {
        let _ = fs::remove_dir_all(root.join(name));
    }
    // The host's own package sources: a mirror may be configured there.
    let _ = fs::remove_file(root.join("etc/apt/sources.list"));
    for folder in ["etc/apt/sources.list.d", "etc/apt/apt.conf.d"] {
        for entry in fs::read_dir(Path::new("/").join(folder))?.flatten() {
            let _ = fs::copy(entry.path(), root.join(folder).join(entry.file_name()));
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = [output.stdout, output.stderr].concat();
            Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&said))))
        }
    }
}
