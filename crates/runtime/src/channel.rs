//! Messages between the first process and its parent.
//!
//! They go over a `SOCK_SEQPACKET` pair that is closed on exec: a message is one packet, and the
//! end of the stream after [`ToInit::Start`] says that the program runs.
//!
//! ```text
//! parent                         first process
//!   Mapped        ->             (only with a new user namespace)
//!   Go            ->             control group entered, limits set
//!                 <-  Hooks      (only with hooks) mounts done, not pivoted
//!   HooksDone     ->
//!                 <-  Ready      everything but exec is done; carries the terminal
//!   Start         ->
//!                 <-  Failed, at any point, or the end of the stream by exec
//! ```

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Longest message: a step's text with a path in it.
const MAX_MESSAGE: usize = 4096 + 256;

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToInit {
    /// The user namespace's mappings are written.
    Mapped,
    /// The control group is entered; the number is the process's pid as its parent sees it.
    Go(u32),
    /// The hooks of the runtime's namespaces have run.
    HooksDone,
    /// Execute the program.
    Start,
}

/// What kind of step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Any step of the set-up.
    Step,
    /// The program cannot be found or executed; the text is its name.
    Program,
    /// A hook.
    Hook,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind of step.
    pub(crate) kind: FailureKind,
    /// What was tried.
    pub(crate) text: String,
    /// The kernel's answer; 0 when it was not the kernel that refused.
    pub(crate) errno: i32,
}

impl Failure {
    /// A failure that is not the kernel's.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Step, text: text.into(), errno: 0 }
    }
}

/// What the first process says.
#[derive(Debug)]
pub(crate) enum FromInit {
    /// Mounts are done; run the hooks of the runtime's namespaces.
    Hooks,
    /// Everything but exec is done.
    Ready,
    /// A descriptor for the listener of the system call filter.
    Listener,
    /// A step failed; the process ends.
    Failed(Failure),
}

/// Names the step in a kernel's refusal.
pub(crate) trait During<T> {
    /// Turns an error into a [`Failure`] with this text.
    fn during<S: Into<String>>(self, text: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during<S: Into<String>>(self, text: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|errno| Failure {
            kind: FailureKind::Step,
            text: text().into(),
            errno: errno.raw_os_error(),
        })
    }
}

impl<T> During<T> for io::Result<T> {
    fn during<S: Into<String>>(self, text: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Failure { kind: FailureKind::Step, text: text().into(), errno },
            None => Failure::new(format!("{}: {error}", text().into())),
        })
    }
}

/// A connected pair: the parent's end and the first process's.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends a message to the first process.
pub(crate) fn tell(channel: impl AsFd, message: ToInit) -> Result<(), Errno> {
    let mut packet = [0_u8; 5];
    let length = match message {
        ToInit::Mapped => put(&mut packet, b'M', None),
        ToInit::Go(pid) => put(&mut packet, b'G', Some(pid)),
        ToInit::HooksDone => put(&mut packet, b'H', None),
        ToInit::Start => put(&mut packet, b'S', None),
    };
    rustix::net::send(channel, &packet[..length], SendFlags::NOSIGNAL).map(drop)
}

fn put(packet: &mut [u8; 5], tag: u8, number: Option<u32>) -> usize {
    packet[0] = tag;
    match number {
        None => 1,
        Some(number) => {
            packet[1..].copy_from_slice(&number.to_ne_bytes());
            5
        }
    }
}

/// Reads the parent's next message; `None` when the parent has gone.
///
/// It is `read(2)` on purpose: a system call filter that is already in force allows it more likely
/// than the socket calls.
pub(crate) fn hear(channel: impl AsFd) -> Result<Option<ToInit>, Errno> {
    let mut packet = [0_u8; 5];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(channel.as_fd(), &mut packet))?;
    Ok(match (length, packet[0]) {
        (0, _) => None,
        (1, b'M') => Some(ToInit::Mapped),
        (5, b'G') => {
            let number = [packet[1], packet[2], packet[3], packet[4]];
            Some(ToInit::Go(u32::from_ne_bytes(number)))
        }
        (1, b'H') => Some(ToInit::HooksDone),
        (1, b'S') => Some(ToInit::Start),
        _ => return Err(Errno::PROTO),
    })
}

/// Sends a message to the parent, with a descriptor where one belongs to it.
pub(crate) fn report(
    channel: impl AsFd,
    message: &FromInit,
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let packet = match message {
        FromInit::Hooks => vec![b'h'],
        FromInit::Ready => vec![b'R'],
        FromInit::Listener => vec![b'L'],
        FromInit::Failed(failure) => encode(failure),
    };
    let Some(fd) = fd else {
        return rustix::io::retry_on_intr(|| rustix::io::write(channel.as_fd(), &packet)).map(drop);
    };
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(channel, &[IoSlice::new(&packet)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
}

fn encode(failure: &Failure) -> Vec<u8> {
    let kind = match failure.kind {
        FailureKind::Step => 0,
        FailureKind::Program => 1,
        FailureKind::Hook => 2,
    };
    let mut end = failure.text.len().min(MAX_MESSAGE - 6);
    while !failure.text.is_char_boundary(end) {
        end -= 1;
    }
    let mut packet = vec![b'E', kind];
    packet.extend(failure.errno.to_ne_bytes());
    packet.extend(&failure.text.as_bytes()[..end]);
    packet
}

/// Reads the first process's next message and the descriptor that came with it; `None` at the end.
pub(crate) fn await_report(
    channel: impl AsFd,
) -> Result<Option<(FromInit, Option<OwnedFd>)>, Errno> {
    let mut packet = [0_u8; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let answer = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            channel.as_fd(),
            &mut [IoSliceMut::new(&mut packet)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    });
    let length = match answer {
        // The other end has gone with something of ours unread: an end like any other.
        Err(Errno::CONNRESET) => return Ok(None),
        other => other?.bytes,
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if length == 0 {
        return Ok(None);
    }
    decode(&packet[..length]).map(|message| Some((message, fd))).ok_or(Errno::PROTO)
}

fn decode(packet: &[u8]) -> Option<FromInit> {
    Some(match packet {
        [b'h'] => FromInit::Hooks,
        [b'R'] => FromInit::Ready,
        [b'L'] => FromInit::Listener,
        [b'E', kind, a, b, c, d, text @ ..] => FromInit::Failed(Failure {
            kind: match kind {
                0 => FailureKind::Step,
                1 => FailureKind::Program,
                2 => FailureKind::Hook,
                _ => return None,
            },
            text: String::from_utf8_lossy(text).into_owned(),
            errno: i32::from_ne_bytes([*a, *b, *c, *d]),
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (ours, theirs) = pair().unwrap();
        for message in [ToInit::Mapped, ToInit::Go(4711), ToInit::HooksDone, ToInit::Start] {
            tell(&ours, message).unwrap();
            assert_eq!(hear(&theirs).unwrap(), Some(message));
        }
        let failure =
            Failure { kind: FailureKind::Program, text: "ä".repeat(4096), errno: libc::ENOENT };
        report(&theirs, &FromInit::Failed(failure), Some(ours.as_fd())).unwrap();
        let (message, fd) = await_report(&ours).unwrap().unwrap();
        assert!(
            matches!(message, FromInit::Failed(f) if f.errno == libc::ENOENT && f.text.len() > 4000)
        );
        assert!(fd.is_some());
        drop(theirs);
        assert!(await_report(&ours).unwrap().is_none());
    }

    #[test]
    fn garbage_is_refused() {
        for packet in [&b"x"[..], b"E", b"E\x07\0\0\0\0", b"RR"] {
            assert!(decode(packet).is_none(), "{packet:?}");
        }
    }
}
