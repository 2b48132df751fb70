//! Programs that the configuration runs at points of a container's life.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use gantry_oci::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};

/// How much of a failed hook's output is told.
const MAX_OUTPUT: u64 = 4096;

/// Runs hooks in order, each with the container's state on standard input.
///
/// The first that fails ends the row; the error is a sentence for the user.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &State) -> Result<(), String> {
    if hooks.is_empty() {
        return Ok(());
    }
    let document = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, &document)
            .map_err(|why| format!("error running {kind} hook #{index}: {why}"))?;
    }
    Ok(())
}

/// Runs hooks whose failure is only worth a warning; answers those.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &State) -> Vec<String> {
    hooks.iter().filter_map(|hook| run(kind, std::slice::from_ref(hook), state).err()).collect()
}

/// A file in memory: unlike a pipe it takes any amount at once, so nobody has to wait for a reader.
fn memory_file() -> Result<File, String> {
    let fd = rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).map_err(|e| e.to_string())?;
    Ok(File::from(fd))
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    if !hook.path.is_absolute() {
        return Err(format!("path {:?} is not absolute", hook.path));
    }
    let mut input = memory_file()?;
    input
        .write_all(state)
        .and_then(|()| input.seek(SeekFrom::Start(0)))
        .map_err(|e| e.to_string())?;
    let mut output = memory_file()?;
    let sink = || output.try_clone().map(Stdio::from).map_err(|e| e.to_string());
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
        command.args(args);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|var| var.split_once('=')));
    command.stdin(Stdio::from(input)).stdout(sink()?).stderr(sink()?);
    let mut child = command.spawn().map_err(|error| {
        let why = error.raw_os_error().map_or_else(|| error.to_string(), crate::reason);
        format!("fork/exec {}: {why}", hook.path.display())
    })?;
    if let Some(seconds) = hook.timeout {
        if !ended_within(child.id(), Duration::from_secs(seconds)) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("hook ran past specified timeout of {seconds}s"));
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    let _ = output.seek(SeekFrom::Start(0));
    let _ = (&mut output).take(MAX_OUTPUT).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let how =
        status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"));
    Err(format!("error running hook: {how}, output: {}", said.trim_end()))
}

/// Whether a child of this process ends in time.
fn ended_within(pid: u32, limit: Duration) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return true;
    };
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&limit)));
    ready.is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_oci::runtime::Status;

    #[test]
    fn failures_say_which_and_why() {
        let state = State {
            oci_version: "1.2.0".into(),
            id: "x".into(),
            status: Status::Creating,
            pid: None,
            bundle: "/".into(),
            annotations: gantry_oci::runtime::StringMap::new(),
        };
        let shell = |script: &str, timeout| Hook {
            path: "/bin/sh".into(),
            args: vec!["sh".into(), "-c".into(), script.into()],
            env: vec!["PATH=/bin:/usr/bin".into()],
            timeout,
        };
        for (hook, want) in [
            (shell("grep -q '\"id\":\"x\"'", None), None),
            (shell("echo no >&2; exit 3", None), Some("exit status 3, output: no")),
            (shell("sleep 60", Some(1)), Some("hook ran past specified timeout of 1s")),
            (Hook { path: "/nope".into(), ..Hook::default() }, Some("fork/exec /nope: no such")),
        ] {
            let answer = run("prestart", std::slice::from_ref(&hook), &state);
            match want {
                None => assert_eq!(answer, Ok(())),
                Some(text) => assert!(answer.clone().unwrap_err().contains(text), "{answer:?}"),
            }
        }
    }
}
