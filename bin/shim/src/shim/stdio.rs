//! The pipes between a process and the shim.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use gantry_oci::runtime::{IdMapping, Spec};
use gantry_shim_proto::Stdio;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::pipe::PipeFlags;

use super::session::Session;

/// The process's ends.
pub(super) struct Ends {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Makes the pipes. `owner` is the process's user on the host, so that it may open `/dev/stdout`
/// and its like again.
pub(super) fn pipes(stdio: &Stdio, owner: (u32, u32)) -> io::Result<(Ends, Session)> {
    let (stdout_read, stdout) = pipe()?;
    let (stderr_read, stderr) = pipe()?;
    let (stdin, stdin_write) = if stdio.open_stdin {
        let (read, write) = pipe()?;
        nonblocking(&write)?;
        (read, Some(write))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    nonblocking(&stdout_read)?;
    nonblocking(&stderr_read)?;
    if owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        for end in [&stdout, &stderr] {
            rustix::fs::fchown(end, Some(uid), Some(gid))?;
        }
        if stdin_write.is_some() {
            rustix::fs::fchown(&stdin, Some(uid), Some(gid))?;
        }
    }
    let session = Session {
        stdin: stdin_write,
        stdout: Some(stdout_read),
        stderr: Some(stderr_read),
        stdin_once: stdio.stdin_once,
        ..Session::default()
    };
    Ok((Ends { stdin, stdout, stderr }, session))
}

/// The session of a process with a terminal, by its master side.
pub(super) fn terminal(stdio: &Stdio, master: OwnedFd) -> io::Result<Session> {
    nonblocking(&master)?;
    let session = Session {
        stdin: if stdio.open_stdin { Some(master.try_clone()?) } else { None },
        stdout: Some(master),
        tty: true,
        stdin_once: stdio.stdin_once,
        ..Session::default()
    };
    if let Some(size) = stdio.console_size {
        session.resize(size.height, size.width);
    }
    Ok(session)
}

/// A user of the container as the host knows it.
pub(super) fn host_owner(spec: &Spec, uid: u32, gid: u32) -> (u32, u32) {
    let Some(linux) = &spec.linux else { return (uid, gid) };
    (host_id(&linux.uid_mappings, uid), host_id(&linux.gid_mappings, gid))
}

fn host_id(mappings: &[IdMapping], id: u32) -> u32 {
    let found = mappings
        .iter()
        .find(|range| id.checked_sub(range.container_id).is_some_and(|offset| offset < range.size));
    found.map_or(id, |range| range.host_id + (id - range.container_id))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

fn nonblocking(end: &impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK | rustix::fs::fcntl_getfl(end)?)?)
}
