//! Keeping this program's file out of a container's reach.
//!
//! A container whose program is `/proc/self/exe` runs this program's own file, and could later open
//! it for writing (CVE-2019-5736). So before anything is let into a container, this process replaces
//! itself by its own file seen through a private read-only mount: whatever is opened through it
//! cannot be written, and the mount goes when the last process lets go of it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use gantry_sys::mount::{Change, RDONLY};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::OpenTreeFlags;

use super::{Context, Failed};

/// Makes sure that this process runs from a file that cannot be written through `/proc/self/exe`.
pub(super) fn protect(context: &Context) -> Result<(), Failed> {
    let text = || "protecting the runtime's executable";
    if is_protected().map_err(Failed::during(text))? {
        return Ok(());
    }
    let file = match read_only_view() {
        Ok(file) => file,
        // Without the right to mount, a sealed copy in memory does the same at a higher price.
        Err(_) => sealed_copy().map_err(Failed::during(text))?,
    };
    let bytes =
        |s: &std::ffi::OsStr| CString::new(s.as_bytes()).map_err(|_| Failed::new("NUL byte"));
    let mut args: Vec<CString> = Vec::new();
    let own = std::env::args_os().collect::<Vec<_>>();
    // What stood before our own arguments (the program's name, `oci`) stays.
    let before = own.len().saturating_sub(context.original.len());
    for arg in own[..before].iter().chain(&context.original) {
        args.push(bytes(arg)?);
    }
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let mut var = name;
        var.push("=");
        var.push(value);
        env.push(bytes(&var)?);
    }
    Err(Failed::during(text)(gantry_sys::exec::execve_fd(file.as_fd(), &args, &env)))
}

fn is_protected() -> io::Result<bool> {
    if rustix::fs::statvfs("/proc/self/exe")?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let file = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

fn read_only_view() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, "/proc/self/exe", flags)?;
    let change = Change { set: RDONLY, ..Change::default() };
    gantry_sys::mount::change(tree.as_fd(), change, false)?;
    Ok(tree)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // A host may want the right to execute said (`vm.memfd_noexec`); before Linux 6.3 the flag is
    // not known.
    let copy = match rustix::fs::memfd_create("gantry", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("gantry", flags)?,
        other => other?,
    };
    let own = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    while rustix::fs::sendfile(&copy, &own, None, 1 << 30)? > 0 {}
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy)
}
