//! `exec`.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use gantry_oci::runtime::{Capabilities, Process, Spec, Status};

use super::args::{self, Parsed, switch, value};
use super::foreground::{self, Watch};
use super::launch::{
    CONSOLE, DETACH, NO_KEYRING, PID_FILE, PRESERVE, check_console, send_console, write_pid_file,
};
use super::state::Known;
use super::{Context, Failed, executable};
use crate::{ExecRequest, Running, Stdio};

/// `gantry oci exec`.
pub(super) fn exec(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [
        CONSOLE,
        PID_FILE,
        PRESERVE,
        DETACH,
        NO_KEYRING,
        value(&["cwd"]),
        value(&["env", "e"]),
        switch(&["tty", "t"]),
        value(&["user", "u"]),
        value(&["additional-gids", "g"]),
        value(&["process", "p"]),
        value(&["process-label"]),
        value(&["apparmor"]),
        switch(&["no-new-privs"]),
        value(&["cap", "c"]),
        value(&["cgroup"]),
        switch(&["ignore-paused"]),
    ];
    let parsed = args::parse(rest, &flags, true)?;
    let Some((id, command)) = parsed.rest.split_first() else {
        return Err(Failed::usage("a container id is needed"));
    };
    executable::protect(context)?;
    let known = Known::load(&context.root, id)?;
    match known.status() {
        Status::Stopped => return Err(Failed::new("cannot exec in a stopped container")),
        Status::Paused if !parsed.is_set("ignore-paused") => {
            return Err(Failed::new(
                "cannot exec in a paused container (use --ignore-paused to override)",
            ));
        }
        _ => {}
    }
    let spec = known.directory.spec()?;
    let process = exec_process(&parsed, command, &spec)?;
    let detach = parsed.is_set("detach");
    check_console(&parsed, process.terminal, detach)?;
    exec_in(&known, &spec, &process, &parsed, detach)
}

fn exec_in(
    known: &Known,
    spec: &Spec,
    process: &Process,
    parsed: &Parsed,
    detach: bool,
) -> Result<u8, Failed> {
    let pidfd = known.pidfd.as_ref().ok_or_else(|| Failed::new("container is not running"))?;
    let cgroup = exec_cgroup(known, parsed)?;
    let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = profile.map(gantry_seccomp::compile).transpose().map_err(Failed::from_error)?;
    let program = filter.as_ref().map(gantry_seccomp::Program::to_bytes);
    let watch = if detach { None } else { Some(Watch::new()?) };
    let request = ExecRequest {
        id: &known.record.id,
        pid: known.record.pid,
        pidfd: pidfd.as_fd(),
        process,
        stdio: if process.terminal { Stdio::Terminal } else { Stdio::Inherit },
        cgroup: Some(&cgroup),
        seccomp: program.as_deref(),
        seccomp_flags: filter.as_ref().map_or(0, gantry_seccomp::Program::flags),
        preserve_fds: parsed.number("preserve-fds")?.unwrap_or(0),
        no_new_keyring: parsed.is_set("no-new-keyring"),
    };
    let running = crate::exec(request).map_err(|error| {
        let failed = Failed::from_error(error);
        Failed { text: format!("unable to start container process: {}", failed.text), code: 255 }
    })?;
    after_exec(parsed, running, watch)
}

fn after_exec(parsed: &Parsed, running: Running, watch: Option<Watch>) -> Result<u8, Failed> {
    let Running { pid, pidfd, terminal, .. } = running;
    let told = write_pid_file(parsed, pid).and_then(|()| send_console(parsed, terminal.as_ref()));
    if let Err(failed) = told {
        foreground::end(&pidfd);
        return Err(failed);
    }
    match watch {
        None => Ok(0),
        Some(watch) => watch.until_exit(&pidfd, pid, terminal),
    }
}

/// The control group of an exec: the container's, or an existing one below it.
fn exec_cgroup(known: &Known, parsed: &Parsed) -> Result<gantry_cgroup::Cgroup, Failed> {
    let host = gantry_cgroup::Host::detect().map_err(Failed::from_error)?;
    let Some(sub) = parsed.get("cgroup") else {
        return Ok(host.open(&known.record.cgroup));
    };
    if sub.contains(':') {
        return Err(Failed::new("--cgroup with a controller is not implemented"));
    }
    let inside = crate::resolve::normal(Path::new(sub));
    let path = Path::new(&known.record.cgroup).join(inside);
    let group = host.open(&path.to_string_lossy());
    if group.exists() {
        Ok(group)
    } else {
        Err(Failed::new(format!("bad --cgroup: {sub} does not exist")))
    }
}

/// The process of an exec: from a file, or the container's own changed by flags.
fn exec_process(parsed: &Parsed, command: &[String], spec: &Spec) -> Result<Process, Failed> {
    if let Some(path) = parsed.get("process") {
        let bytes = fs::read(path).map_err(Failed::during(|| format!("reading {path}")))?;
        return serde_json::from_slice(&bytes)
            .map_err(|error| Failed::new(format!("parsing {path}: {error}")));
    }
    if command.is_empty() {
        return Err(Failed::usage("process args cannot be empty"));
    }
    let mut process = spec.process.clone().unwrap_or_default();
    process.args = command.to_vec();
    process.terminal = parsed.is_set("tty");
    process.console_size = None;
    process.env.extend(parsed.all("env").map(str::to_owned));
    if let Some(cwd) = parsed.get("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(user) = parsed.get("user") {
        let (uid, gid) = parse_user(user)?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    for gid in parsed.all("additional-gids") {
        process.user.additional_gids.push(number(gid)?);
    }
    let caps = process.capabilities.get_or_insert_with(Capabilities::default);
    for cap in parsed.all("cap") {
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.push(cap.to_owned());
        }
    }
    process.no_new_privileges |= parsed.is_set("no-new-privs");
    if let Some(profile) = parsed.get("apparmor") {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = parsed.get("process-label") {
        process.selinux_label = Some(label.to_owned());
    }
    Ok(process)
}

/// `UID` or `UID:GID`, decimal, within 32 bits: nothing else may pass for a number, least of all for 0.
fn parse_user(user: &str) -> Result<(u32, Option<u32>), Failed> {
    match user.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(user)?, None)),
    }
}

fn number(text: &str) -> Result<u32, Failed> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        // All ones means "unchanged" to the kernel: it would leave the process root.
        Ok(number) if digits && number != u32::MAX => Ok(number),
        _ => Err(Failed::new(format!("invalid uid or gid: {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_in_range() {
        for (text, want) in [
            ("0", Some((0, None))),
            ("1000:50", Some((1000, Some(50)))),
            ("2147483648", Some((1 << 31, None))),
            ("4294967295", None),
            ("4294967296", None),
            ("-1", None),
            ("+1", None),
            ("0x0", None),
            ("root", None),
            ("", None),
            (":", None),
            ("1:", None),
        ] {
            assert_eq!(parse_user(text).ok(), want, "{text:?}");
        }
    }
}
