//! What sockets tell of themselves.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Whether the peer of a Unix stream socket has read all that was sent to it: `SIOCOUTQ`.
///
/// # Errors
/// `ENOTTY` or `EINVAL` for what is no socket.
///
/// Source: kernel `net/unix/af_unix.c`, `unix_outq_len`.
pub fn is_read_by_peer(socket: impl AsFd) -> io::Result<bool> {
    let mut unread: libc::c_int = 0;
    // SAFETY: the descriptor stays open for the call, and `unread` is the `int` that the kernel
    // writes.
    let rc = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(unread == 0) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_read_is_known() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert!(is_read_by_peer(&ours).unwrap());
        ours.write_all(b"head").unwrap();
        assert!(!is_read_by_peer(&ours).unwrap());
        theirs.read_exact(&mut [0; 3]).unwrap();
        assert!(!is_read_by_peer(&ours).unwrap());
        theirs.read_exact(&mut [0; 1]).unwrap();
        assert!(is_read_by_peer(&ours).unwrap());
    }
}
