//! Starting a program from a process that has thousands of descriptors.
//!
//! A new process begins with a copy of its parent's table of descriptors, and its exec closes one
//! by one what is marked so: milliseconds, where there are thousands. Here the child shares the
//! table until it takes a copy of the lowest entries alone (`close_range(2)` with
//! `CLOSE_RANGE_UNSHARE`, Linux 5.9), where what it is given was put before.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::DupFlags;

use crate::check;

/// Standard input, output and error.
const STREAMS: usize = 3;
/// The child's stack in words of 16 bytes: it does some system calls, and no more.
const STACK_WORDS: usize = 2048;

/// A program to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// The executable file.
    pub path: &'a CStr,
    /// Arguments, with the program's name first.
    pub args: &'a [CString],
    /// Environment, `NAME=value`.
    pub env: &'a [CString],
    /// Working directory.
    pub directory: &'a CStr,
}

/// Starts programs. To be made while few descriptors are open, since it keeps low numbers.
#[derive(Debug)]
pub struct Launcher {
    /// Where a program's streams are put, for the time of its start.
    slots: Mutex<[OwnedFd; STREAMS]>,
    /// What is in them meanwhile.
    null: OwnedFd,
}

impl Launcher {
    /// Takes its numbers.
    ///
    /// # Errors
    /// The kernel's, as when there are no descriptors left.
    pub fn new() -> io::Result<Launcher> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, Mode::empty())?;
        let slot = || rustix::io::fcntl_dupfd_cloexec(&null, 3);
        let slots = Mutex::new([slot()?, slot()?, slot()?]);
        Ok(Launcher { slots, null })
    }

    /// Starts a program with these streams and no other descriptor; answers its pid and pidfd. No
    /// signal is blocked in it. It is a child of this process and has to be waited for.
    ///
    /// # Errors
    /// The exec's own, such as `ENOENT`; or the kernel's.
    pub fn launch(
        &self,
        program: &Program<'_>,
        streams: [BorrowedFd<'_>; STREAMS],
    ) -> io::Result<(u32, OwnedFd)> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, stream) in slots.iter_mut().zip(streams) {
            rustix::io::dup3(stream, slot, DupFlags::CLOEXEC)?;
        }
        let numbers = slots.each_ref().map(|slot| slot.as_raw_fd());
        let started = start(program, numbers);
        for slot in slots.iter_mut() {
            // What stays is open for longer than it should, and replaced at the next start.
            let _ = rustix::io::dup3(&self.null, slot, DupFlags::CLOEXEC);
        }
        started
    }
}

/// What the child is told, and where it puts why it failed.
struct Errand {
    path: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    directory: *const c_char,
    streams: [c_int; STREAMS],
    error: c_int,
}

fn start(program: &Program<'_>, streams: [c_int; STREAMS]) -> io::Result<(u32, OwnedFd)> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(program.args), pointers(program.env));
    let mut errand = Errand {
        path: program.path.as_ptr(),
        args: args.as_ptr(),
        env: env.as_ptr(),
        directory: program.directory.as_ptr(),
        streams,
        error: 0,
    };
    let mut stack = vec![0_u128; STACK_WORDS];
    let flags =
        libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    // SAFETY: plain data, all zeroes are valid; then filled in by the C library.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: with `CLONE_VFORK` this thread waits until the child has ended or executed a program,
    // so that the errand, its strings and the stack outlive the child's use of them. The child
    // makes system calls alone: it takes no lock, allocates nothing and does not return. No signal
    // reaches it before its exec, so that no handler of this process runs in shared memory.
    let pid = unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::clone(
            child,
            stack.as_mut_ptr().add(STACK_WORDS).cast::<c_void>(),
            flags,
            (&raw mut errand).cast::<c_void>(),
            &raw mut pidfd,
            std::ptr::null_mut::<c_void>(),
            std::ptr::null_mut::<c_int>(),
        );
        let failed = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        if pid == -1 { Err(failed) } else { Ok(pid) }
    }?;
    // SAFETY: the kernel has written a descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if errand.error != 0 {
        let ended = rustix::process::WaitIdOptions::EXITED;
        let _ = rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), ended);
        return Err(io::Error::from_raw_os_error(errand.error));
    }
    Ok((pid.unsigned_abs(), pidfd))
}

/// Runs in the child, in the parent's memory.
extern "C" fn child(errand: *mut c_void) -> c_int {
    // SAFETY: the parent passes its errand, which nobody else uses until the child is gone.
    let errand = unsafe { &mut *errand.cast::<Errand>() };
    let error = execute(errand);
    errand.error = error.raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: the call takes a number and does not return; no exit handler runs.
    unsafe { libc::_exit(127) }
}

/// Becomes the program; answers why not.
fn execute(errand: &Errand) -> io::Error {
    let above = errand.streams.into_iter().max().unwrap_or_default().unsigned_abs() + 1;
    // SAFETY: the numbers are the child's own after the first call, which closes nothing of the
    // parent's; all pointers are NUL-terminated strings, or vectors of such that end in a null
    // pointer, which the parent keeps. Handlers and mask of signals are the child's own.
    unsafe {
        let unshared =
            libc::syscall(libc::SYS_close_range, above, c_int::MAX, libc::CLOSE_RANGE_UNSHARE);
        if let Err(error) = check(unshared) {
            return error;
        }
        for (stream, number) in errand.streams.into_iter().zip(0..) {
            if libc::dup2(stream, number) == -1 {
                return io::Error::last_os_error();
            }
        }
        if libc::chdir(errand.directory) == -1 {
            return io::Error::last_os_error();
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(errand.path, errand.args, errand.env);
    }
    io::Error::last_os_error()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn run(launcher: &Launcher, path: &CStr, script: &str) -> io::Result<String> {
        let args = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        let program = Program { path, args: &args, env: &[c"A=1".to_owned()], directory: c"/proc" };
        let (mut output, end) = io::pipe()?;
        let null = std::fs::File::open("/dev/null")?;
        let (pid, pidfd) = launcher.launch(&program, [null.as_fd(), end.as_fd(), end.as_fd()])?;
        drop(end);
        let mut text = String::new();
        // It ends when the last descriptor of the other end is closed: none stays in a slot.
        output.read_to_string(&mut text)?;
        let ended = rustix::process::WaitIdOptions::EXITED;
        let status = rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), ended)?;
        assert_eq!(status.and_then(|status| status.exit_status()), Some(0), "{text}");
        assert!(pid > 0);
        Ok(text)
    }

    #[test]
    fn a_program_gets_its_streams_and_nothing_else() {
        let launcher = Launcher::new().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        // Not even one that an exec would leave open.
        let high = rustix::io::fcntl_dupfd_cloexec(&null, 500).unwrap();
        rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
        let text = run(&launcher, c"/bin/sh", "echo $A $PWD; echo /proc/self/fd/*").unwrap();
        let (first, open) = text.split_once('\n').unwrap();
        assert_eq!(first, "1 /proc");
        assert!(open.starts_with("/proc/self/fd/0 /proc/self/fd/1 "), "{open}");
        let number = high.as_raw_fd().to_string();
        assert!(open.split(' ').all(|path| !path.ends_with(&number)), "{open}");
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let launcher = Launcher::new().unwrap();
        let missing = run(&launcher, c"/no/such/program", "true").unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        let denied = run(&launcher, c"/etc/passwd", "true").unwrap_err();
        assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
        assert_eq!(run(&launcher, c"/bin/sh", "echo again").unwrap(), "again\n");
    }

    #[test]
    fn many_start_at_once() {
        let launcher = Launcher::new().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let launcher = &launcher;
                scope.spawn(move || {
                    for turn in 0..20 {
                        let text = run(launcher, c"/bin/sh", &format!("echo {thread} {turn}"));
                        assert_eq!(text.unwrap(), format!("{thread} {turn}\n"));
                    }
                });
            }
        });
    }
}
