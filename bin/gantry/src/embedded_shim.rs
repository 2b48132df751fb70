//! The shim that this program carries, and its way to where it can be executed.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};

/// The program: `gantry-shim`, and by other names `docker-init` and `hello`.
pub(crate) static SHIM: &[u8] = include_bytes!(env!("GANTRY_SHIM_FILE"));

/// Puts the shim where this daemon can execute it: `<exec_root>/bin/gantry-shim`, for the owner
/// alone. Running shims keep the file that they were started from.
///
/// Where nothing may be executed (`/run` is often mounted so) it goes below the data root, and if
/// that is mounted so too it is a sealed file in memory, which lives as long as this process.
///
/// # Errors
/// Those of writing it.
pub(crate) fn install(exec_root: &Path, data_root: &Path) -> io::Result<PathBuf> {
    for root in [exec_root, data_root] {
        let folder = root.join("bin");
        make_folder(&folder)?;
        if !rustix::fs::statvfs(&folder)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            let path = folder.join("gantry-shim");
            write_whole(&path, 0o700)?;
            return Ok(path);
        }
    }
    in_memory()
}

/// Puts the first process for `docker run --init` at `<folder>/docker-init`, which is to be on a
/// file system that allows execution. Any user of a container may execute it.
///
/// # Errors
/// Those of writing it.
pub(crate) fn install_init(folder: &Path) -> io::Result<PathBuf> {
    make_folder(folder)?;
    let path = folder.join("docker-init");
    write_whole(&path, 0o755)?;
    Ok(path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes the program beside its place and moves it there, unless it is there already.
fn write_whole(path: &Path, mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == SHIM) {
        return Ok(());
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(SHIM)?;
        // The mode that was asked for, whatever the umask took away.
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode))?;
        drop(file);
        fs::rename(&temporary, path)
    };
    let _ = fs::remove_file(&temporary);
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn in_memory() -> io::Result<PathBuf> {
    static HELD: OnceLock<OwnedFd> = OnceLock::new();
    if HELD.get().is_none() {
        let name = CString::new("gantry-shim").unwrap_or_default();
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // A host may want the right to execute said (`vm.memfd_noexec`), or may never give it;
        // before Linux 6.3 the flag is not known.
        let asked = rustix::fs::memfd_create(&name, flags | MemfdFlags::EXEC);
        let mut file = File::from(match asked {
            Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(&name, flags)?,
            other => other?,
        });
        file.write_all(SHIM)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let _ = HELD.set(file.into());
    }
    let number = HELD.get().map_or(-1, AsRawFd::as_raw_fd);
    Ok(PathBuf::from(format!("/proc/{}/fd/{number}", std::process::id())))
}
