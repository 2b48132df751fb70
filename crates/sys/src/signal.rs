//! Signal masks, dispositions and `signalfd(2)`.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Number of the highest signal.
pub const MAX: i32 = 64;

fn set_of(signals: impl IntoIterator<Item = i32>) -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain data for which all zeroes are valid: the empty set.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    for signal in signals {
        // SAFETY: `set` is initialised; a number that is no signal is refused and changes nothing.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Sets the calling thread's mask to exactly these signals.
///
/// # Errors
/// None in practice.
pub fn set_mask(signals: &[i32]) -> io::Result<()> {
    let set = set_of(signals.iter().copied());
    // SAFETY: `set` is initialised and outlives the call; the old mask is not asked for.
    let rc =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

/// Gives a signal its default disposition, which a program started from here inherits.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn set_default(signal: i32) -> io::Result<()> {
    // SAFETY: `SIG_DFL` is no function of ours, so nothing can run in a handler.
    let old = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if old == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives every signal its default disposition and unblocks all of them.
pub fn reset_all() {
    for signal in 1..=MAX {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP || (32..34).contains(&signal) {
            continue;
        }
        // A signal that cannot be changed keeps what the kernel gave it.
        let _ = set_default(signal);
    }
    let _ = set_mask(&[]);
}

/// Blocked signals, read as data. Non-blocking and close-on-exec.
#[derive(Debug)]
pub struct SignalFd(File);

impl SignalFd {
    /// Blocks these signals in the calling thread and opens a descriptor for them.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn new(signals: &[i32]) -> io::Result<SignalFd> {
        let set = set_of(signals.iter().copied());
        // SAFETY: `set` is initialised and outlives both calls.
        let rc =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if rc != 0 {
            return Err(io::Error::from_raw_os_error(rc));
        }
        // SAFETY: as above; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel made this descriptor for this call; nobody else owns it.
        Ok(SignalFd(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The next pending signal's number; `None` when there is none.
    ///
    /// # Errors
    /// An I/O error.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match (&self.0).read(&mut info) {
            Ok(n) if n == info.len() => {
                let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                Ok(i32::try_from(number).ok())
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
