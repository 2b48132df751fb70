//! What runs in the machine: busybox, crun, the program under test, and `tests/vm`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_rig::images;

use super::cpio::Tree;
use crate::chore::{ChoreError, io};

/// Directories that the machine's init mounts something on.
const MOUNT_POINTS: &[&str] = &["again", "dev", "proc", "root", "run", "scratch", "sys", "tmp"];

/// Adds everything but the kernel's part; without `gantry`, its tests cannot run.
pub(crate) fn add(
    tree: &mut Tree,
    gantry: Option<&Path>,
    scripts: &Path,
) -> Result<(), ChoreError> {
    for path in MOUNT_POINTS {
        tree.directory(path, 0o755);
    }
    add_busybox(tree)?;
    add_program(tree, &find("crun")?, "bin/crun")?;
    if let Some(gantry) = gantry {
        add_program(tree, gantry, "bin/gantry")?;
    }
    // The root file system of containers is the image of all other tests.
    let root = images::busybox_root().map_err(io("making the busybox image"))?;
    add_archive(tree, "rootfs", &root).map_err(io("reading the busybox image"))?;
    tree.file("tests/busybox.tar", 0o644, root);
    add_scripts(tree, scripts)
}

fn add_busybox(tree: &mut Tree) -> Result<(), ChoreError> {
    let path = find("busybox")?;
    let data = fs::read(&path).map_err(io("reading busybox"))?;
    tree.file("bin/busybox", 0o755, data);
    let applets = output(Command::new(&path).arg("--list"))?;
    for applet in applets.lines().filter(|name| !name.is_empty() && *name != "busybox") {
        tree.link(&format!("bin/{applet}"), "busybox");
    }
    // The kernel's own name for it (`/proc/sys/kernel/modprobe`).
    tree.link("sbin/modprobe", "/bin/busybox");
    tree.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n".to_vec());
    tree.file("etc/group", 0o644, b"root:x:0:\n".to_vec());
    tree.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n".to_vec());
    Ok(())
}

/// Adds a program, and the libraries that it is linked with at their places.
fn add_program(tree: &mut Tree, program: &Path, place: &str) -> Result<(), ChoreError> {
    tree.file(place, 0o755, fs::read(program).map_err(io("reading a program"))?);
    let listed = Command::new("ldd").arg(program).output().map_err(io("ldd"))?;
    // ldd fails on what is linked statically, and says so.
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    for library in libraries(&text)? {
        let data = fs::read(&library).map_err(io("reading a library"))?;
        tree.file(&library.display().to_string(), 0o755, data);
    }
    Ok(())
}

/// The files that `ldd` names.
fn libraries(listed: &str) -> Result<Vec<PathBuf>, ChoreError> {
    let mut files = Vec::new();
    for line in listed.lines().map(str::trim) {
        if line.ends_with("not found") {
            return Err(ChoreError::Text(format!("a library is missing: {line}")));
        }
        // `name => /path (address)`, `/path (address)`; the vDSO has no path.
        let target = line.split_once("=> ").map_or(line, |(_, target)| target);
        let path = target.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            files.push(PathBuf::from(path));
        }
    }
    Ok(files)
}

fn add_archive(tree: &mut Tree, below: &str, archive: &[u8]) -> std::io::Result<()> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = format!("{below}/{}", entry.path()?.display());
        let mode = entry.header().mode()?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => tree.directory(&path, mode),
            tar::EntryType::Symlink => {
                let target = entry.link_name()?.unwrap_or_default().display().to_string();
                tree.link(&path, &target);
            }
            _ => {
                let mut data = Vec::new();
                entry.read_to_end(&mut data)?;
                tree.file(&path, mode, data);
            }
        }
    }
    Ok(())
}

/// Adds `tests/vm`: its `init` becomes the machine's first program.
fn add_scripts(tree: &mut Tree, folder: &Path) -> Result<(), ChoreError> {
    let read = |path: &Path| fs::read(path).map_err(io("reading tests/vm"));
    tree.file("init", 0o755, read(&folder.join("init"))?);
    tree.file("tests/support.sh", 0o644, read(&folder.join("support.sh"))?);
    for below in ["oci", "daemon"] {
        for entry in fs::read_dir(folder.join(below)).map_err(io("reading tests/vm"))?.flatten() {
            let place = format!("tests/{below}/{}", entry.file_name().display());
            tree.file(&place, 0o644, read(&entry.path())?);
        }
    }
    Ok(())
}

/// Where a program is.
fn find(name: &str) -> Result<PathBuf, ChoreError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places
        .find(|place| place.is_file())
        .ok_or_else(|| ChoreError::Text(format!("{name} is not installed")))
}

fn output(command: &mut Command) -> Result<String, ChoreError> {
    let output = command.output().map_err(io("running a program"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let listed = "\tlinux-vdso.so.1 (0x00007f63)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let want =
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(listed).unwrap(), want);
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        let error = libraries("\tlibno.so.1 => not found\n").unwrap_err();
        assert_eq!(error.to_string(), "a library is missing: libno.so.1 => not found");
    }
}
