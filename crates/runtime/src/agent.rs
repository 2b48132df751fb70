//! Handing a system call filter's listener to its agent (`SCMP_ACT_NOTIFY`).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use serde::Serialize;

use crate::StartError;
use crate::start::AfterStart;

/// What the agent is told: runtime-spec, "The Container Process State".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    metadata: &'a str,
    state: &'a gantry_oci::runtime::State,
}

/// Connects to the agent and sends it the listener.
pub(crate) fn send(after: &AfterStart, listener: BorrowedFd<'_>) -> Result<(), StartError> {
    let Some((path, metadata)) = &after.agent else {
        return Err(StartError::Hook(
            "the seccomp profile has a listener but no listenerPath".into(),
        ));
    };
    let message = ProcessState {
        oci_version: &after.state.oci_version,
        fds: ["seccompFd"],
        pid: after.state.pid.unwrap_or(0),
        metadata,
        state: &after.state,
    };
    let text = serde_json::to_vec(&message)
        .map_err(|error| StartError::Channel(std::io::Error::other(error)))?;
    let told = || -> Result<(), rustix::io::Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        send_with(socket.as_fd(), &text, listener)
    };
    told().map_err(|errno| StartError::Channel(errno.into()))
}

/// Sends bytes and one descriptor over a connected socket.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: BorrowedFd<'_>,
) -> Result<(), rustix::io::Errno> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
}
