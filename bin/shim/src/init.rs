//! A first process for containers (`docker run --init`): runs the command, passes signals on,
//! reaps whatever is left behind, and ends as the command ended.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use gantry_sys::process::{Fork, Forked};
use gantry_sys::signal::SignalFd;
use rustix::process::{Pid, WaitOptions};

const SIGCHLD: i32 = 17;
/// Faults of this process itself cannot be waited for; SIGTTIN and SIGTTOU are ignored below.
const NOT_FORWARDED: [i32; 9] = [4, 5, 6, 7, 8, 9, 11, 19, 31];
const LAST_SIGNAL: i32 = 64;
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the command behind `--`.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.collect();
    if let Some(at) = args.iter().position(|arg| arg == "--") {
        args.drain(..=at);
    }
    match start(&args) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &[OsString]) -> io::Result<ExitCode> {
    let words: Vec<CString> =
        args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
    if words.is_empty() {
        return Err(io::Error::other("usage: docker-init -- COMMAND [ARG...]"));
    }
    let forwarded: Vec<i32> = (1..=LAST_SIGNAL)
        .filter(|signal| !NOT_FORWARDED.contains(signal) && !(32..34).contains(signal))
        .collect();
    let signals = SignalFd::new(&forwarded)?;
    // Zombies of others come here also when this is not the namespace's first process.
    gantry_sys::process::become_subreaper()?;
    match gantry_sys::process::fork(Fork::default())? {
        Forked::Child => become_command(&words),
        Forked::Parent { pid, pidfd } => {
            drop(pidfd);
            wait(pid, &signals)
        }
    }
}

/// The child's side: its own process group in the foreground, then the command.
fn become_command(words: &[CString]) -> ! {
    let _ = rustix::process::setpgid(None, None);
    // Blocked SIGTTOU lets a background process take the terminal.
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        let group = rustix::process::getpid();
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), group);
    }
    gantry_sys::signal::reset_all();
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect();
    let error = execute(words, &env);
    let _ = writeln!(io::stderr(), "init: exec {}: {error}", words[0].to_string_lossy());
    let missing = error.kind() == io::ErrorKind::NotFound;
    gantry_sys::process::exit_now(i32::from(if missing { NOT_FOUND } else { NOT_EXECUTABLE }))
}

/// Executes the command, looking for a bare name in `PATH` as `execvp(3)` does.
fn execute(words: &[CString], env: &[CString]) -> io::Error {
    let name = words[0].to_bytes();
    if name.contains(&b'/') {
        return gantry_sys::exec::execve(&words[0], words, env);
    }
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for folder in std::env::split_paths(&path) {
        let file = folder.join(std::ffi::OsStr::from_bytes(name));
        let Ok(file) = CString::new(file.as_os_str().as_bytes()) else { continue };
        let error = gantry_sys::exec::execve(&file, words, env);
        if error.kind() != io::ErrorKind::NotFound {
            last = error;
        }
    }
    last
}

fn wait(child: u32, signals: &SignalFd) -> io::Result<ExitCode> {
    let child = i32::try_from(child).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    loop {
        let mut fds = [rustix::event::PollFd::new(signals, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(signal) = signals.next()? {
            if signal != SIGCHLD {
                forward(child, signal);
            }
        }
        if let Some(code) = reap(child) {
            return Ok(code);
        }
    }
}

fn forward(child: Pid, signal: i32) {
    let process = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty());
    if let Ok(process) = process {
        let _ = gantry_sys::kill::send(std::os::fd::AsFd::as_fd(&process), signal);
    }
}

/// Reaps all ended children; the command's end is this process's.
fn reap(child: Pid) -> Option<ExitCode> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid != child {
            continue;
        }
        let number = match status.terminating_signal() {
            Some(signal) => 128 + signal,
            None => status.exit_status().unwrap_or(0),
        };
        code = Some(ExitCode::from(u8::try_from(number).unwrap_or(u8::MAX)));
    }
    code
}
