//! `kill`, `delete`, `pause`, `resume`, `update`.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use gantry_oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use super::args::{self, Parsed, switch, value};
use super::state::{Directory, Known};
use super::{Context, Failed, launch};
use crate::hooks;

/// How long a killed container may take to end.
const KILL_LIMIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// How long processes may take to be frozen or thawed.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// Names of the signals, by number.
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// A signal by number or name.
fn signal(text: &str) -> Result<i32, Failed> {
    let unknown = || Failed::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=gantry_sys::signal::MAX).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).ok_or_else(unknown)
}

/// `gantry oci kill`.
pub(super) fn kill(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let parsed = args::parse(rest, &[switch(&["all", "a"])], false)?;
    let (id, number) = match parsed.rest.as_slice() {
        [id] => (id, libc::SIGTERM),
        [id, name] => (id, signal(name)?),
        _ => return Err(Failed::usage("a container id and at most one signal are needed")),
    };
    let known = Known::load(&context.root, id)?;
    if parsed.is_set("all") || !known.record.own_pid_namespace {
        known.cgroup()?.kill_all(number).map_err(Failed::from_error)?;
        return Ok(0);
    }
    send(&known, number)?;
    Ok(0)
}

/// Signals the first process: by its descriptor, never by a number that may be another's by now.
fn send(known: &Known, number: i32) -> Result<(), Failed> {
    let gone = || Failed::new("container not running");
    let pidfd = known.pidfd.as_ref().ok_or_else(gone)?;
    let signal = Signal::from_named_raw(number)
        .ok_or_else(|| Failed::new(format!("real-time signal {number} is not implemented")))?;
    rustix::process::pidfd_send_signal(pidfd, signal).map_err(|_| gone())?;
    if number == libc::SIGKILL {
        // A frozen process takes the signal only once it is thawed.
        if let Ok(group) = known.cgroup() {
            if matches!(group.is_frozen(), Ok(true)) {
                group.thaw(FREEZE_LIMIT).map_err(Failed::from_error)?;
            }
        }
    }
    Ok(())
}

/// `gantry oci delete`.
pub(super) fn delete(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let (parsed, id) = super::one_id(rest, &[switch(&["force", "f"])])?;
    let force = parsed.is_set("force");
    let directory = match Directory::open(&context.root, &id) {
        Err(_) if force => return Ok(0),
        other => other?,
    };
    let _lock = directory.lock()?;
    let known = match Known::load(&context.root, &id) {
        // A creation that was broken off left only the directory.
        Err(_) if force => {
            directory.remove()?;
            return Ok(0);
        }
        other => other?,
    };
    match known.status() {
        Status::Stopped => {}
        Status::Created => end(&known)?,
        _ if force => end(&known)?,
        status => {
            let status = format!("{status:?}").to_lowercase();
            return Err(Failed::new(format!(
                "cannot delete container {id} that is not stopped: {status}"
            )));
        }
    }
    remove(&known)?;
    Ok(0)
}

/// Kills the container and waits until it has ended.
fn end(known: &Known) -> Result<(), Failed> {
    let Some(pidfd) = &known.pidfd else {
        return Ok(());
    };
    match send(known, libc::SIGKILL) {
        Err(failed) if failed.text != "container not running" => return Err(failed),
        _ => {}
    }
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&KILL_LIMIT))) {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(Failed::new("container init still running")),
    }
}

/// Removes what is left of a container that has ended; collects errors and goes on.
fn remove(known: &Known) -> Result<(), Failed> {
    let mut errors = Vec::new();
    match known.cgroup() {
        Err(failed) => errors.push(failed.text),
        Ok(group) => {
            if !known.record.own_pid_namespace {
                // Others may live on without the first process.
                let _ = group.kill_all(libc::SIGKILL);
            }
            if let Err(error) = group.remove() {
                errors.push(Failed::from_error(error).text);
            }
        }
    }
    let hooks = known.directory.spec().ok().and_then(|spec| spec.hooks);
    if let Err(failed) = known.directory.remove() {
        errors.push(failed.text);
    }
    if let Some(hooks) = hooks {
        errors.extend(hooks::run_all("poststop", &hooks.poststop, &launch::stopped(known)));
    }
    if errors.is_empty() { Ok(()) } else { Err(Failed::new(errors.join("; "))) }
}

/// Removes a container of `run` after its end; one that was never recorded is no error.
pub(super) fn destroy(root: &Path, id: &str) -> Result<(), Failed> {
    match Known::load(root, id) {
        Ok(known) => {
            end(&known)?;
            remove(&known)
        }
        Err(_) => Ok(()),
    }
}

/// `gantry oci pause`.
pub(super) fn pause(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let (_, id) = super::one_id(rest, &[])?;
    let known = Known::load(&context.root, &id)?;
    match known.status() {
        Status::Running | Status::Created => {
            known.cgroup()?.freeze(FREEZE_LIMIT).map_err(Failed::from_error)?;
            Ok(0)
        }
        _ => Err(Failed::new("container not running or created: cannot be paused")),
    }
}

/// `gantry oci resume`.
pub(super) fn resume(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let (_, id) = super::one_id(rest, &[])?;
    let known = Known::load(&context.root, &id)?;
    if known.status() != Status::Paused {
        return Err(Failed::new("container not paused"));
    }
    known.cgroup()?.thaw(FREEZE_LIMIT).map_err(Failed::from_error)?;
    Ok(0)
}

/// `gantry oci update`.
pub(super) fn update(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [
        value(&["resources", "r"]),
        value(&["blkio-weight"]),
        value(&["cpu-period"]),
        value(&["cpu-quota"]),
        value(&["cpu-burst"]),
        value(&["cpu-share"]),
        value(&["cpu-rt-period"]),
        value(&["cpu-rt-runtime"]),
        value(&["cpu-idle"]),
        value(&["cpuset-cpus"]),
        value(&["cpuset-mems"]),
        value(&["memory"]),
        value(&["memory-reservation"]),
        value(&["memory-swap"]),
        value(&["pids-limit"]),
        value(&["l3-cache-schema"]),
        value(&["mem-bw-schema"]),
    ];
    let (parsed, id) = super::one_id(rest, &flags)?;
    if parsed.get("l3-cache-schema").is_some() || parsed.get("mem-bw-schema").is_some() {
        return Err(Failed::new("Intel RDT is not implemented"));
    }
    let known = Known::load(&context.root, &id)?;
    if known.pidfd.is_none() {
        return Err(Failed::new("container not running"));
    }
    let resources = match parsed.get("resources") {
        Some(path) => read_resources(path)?,
        None => resources(&parsed)?,
    };
    known.cgroup()?.apply(&resources).map_err(Failed::from_error)?;
    Ok(0)
}

fn read_resources(path: &str) -> Result<Resources, Failed> {
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    read.map_err(Failed::during(|| format!("reading {path}")))?;
    serde_json::from_slice(&bytes).map_err(|e| Failed::new(format!("parsing {path}: {e}")))
}

fn resources(parsed: &Parsed) -> Result<Resources, Failed> {
    let memory = Memory {
        limit: bytes(parsed, "memory")?,
        reservation: bytes(parsed, "memory-reservation")?,
        swap: bytes(parsed, "memory-swap")?,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: parsed.number("cpu-share")?,
        quota: parsed.number("cpu-quota")?,
        burst: parsed.number("cpu-burst")?,
        period: parsed.number("cpu-period")?,
        realtime_runtime: parsed.number("cpu-rt-runtime")?,
        realtime_period: parsed.number("cpu-rt-period")?,
        cpus: parsed.get("cpuset-cpus").map(str::to_owned),
        mems: parsed.get("cpuset-mems").map(str::to_owned),
        idle: parsed.number("cpu-idle")?,
    };
    let block_io = BlockIo { weight: parsed.number("blkio-weight")?, ..BlockIo::default() };
    let given = |is_default: bool| !is_default;
    Ok(Resources {
        memory: given(memory == Memory::default()).then_some(memory),
        cpu: given(cpu == Cpu::default()).then_some(cpu),
        pids: parsed.number("pids-limit")?.map(|limit| Pids { limit }),
        block_io: block_io.weight.is_some().then_some(block_io),
        ..Resources::default()
    })
}

/// A number of bytes, with a unit (`64M`) or without.
fn bytes(parsed: &Parsed, name: &str) -> Result<Option<i64>, Failed> {
    let Some(text) = parsed.get(name) else {
        return Ok(None);
    };
    let bad = || Failed::new(format!("invalid value for {name}: invalid size: {text:?}"));
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix('b').unwrap_or(&lower);
    let plain = plain.strip_suffix('i').unwrap_or(plain);
    let (digits, shift) = match plain.char_indices().next_back() {
        Some((at, 'k')) => (&plain[..at], 10),
        Some((at, 'm')) => (&plain[..at], 20),
        Some((at, 'g')) => (&plain[..at], 30),
        Some((at, 't')) => (&plain[..at], 40),
        _ => (plain, 0),
    };
    let number: i64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, want) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("sigterm", Some(15)),
            ("0", None),
            ("65", None),
            ("X", None),
        ] {
            assert_eq!(signal(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn sizes_with_units() {
        for (text, want) in [
            ("64M", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("-1", Some(-1)),
            ("9t9", None),
            ("x", None),
        ] {
            let args = [OsString::from("--memory"), OsString::from(text)];
            let parsed = args::parse(args, &[value(&["memory"])], false).unwrap();
            assert_eq!(bytes(&parsed, "memory").ok().flatten(), want, "{text}");
        }
    }
}
