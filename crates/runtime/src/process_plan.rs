//! A process to be, with everything parsed before the fork: what is wrong with the request is told
//! before anything was made.

use std::ffi::CString;

use gantry_oci::runtime::{Process, Rlimit, Scheduler, Seccomp};
use gantry_sys::sched::Attributes;
use rustix::process::Resource;

use crate::capabilities::{self, Sets};

/// Mask of file modes when the specification names none.
const DEFAULT_UMASK: u32 = 0o022;

/// A system call filter, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// Array of `struct sock_filter`.
    pub(crate) program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(crate) flags: u32,
}

/// A process, parsed.
#[derive(Debug)]
pub(crate) struct ProcessPlan<'a> {
    pub(crate) process: &'a Process,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) has_home: bool,
    pub(crate) caps: Sets,
    pub(crate) rlimits: Vec<(Resource, Rlimit)>,
    pub(crate) scheduler: Option<Attributes>,
    pub(crate) io_priority: Option<(u16, u16)>,
    pub(crate) umask: u32,
    pub(crate) filter: Option<Filter>,
    pub(crate) preserve_fds: u32,
    pub(crate) session_keyring: Option<CString>,
    pub(crate) dies_with_parent: bool,
}

/// Parses a process; the error is a sentence for the user.
pub(crate) fn parse(process: &Process) -> Result<ProcessPlan<'_>, String> {
    if process.args.is_empty() || process.args[0].is_empty() {
        return Err("args must not be empty".to_owned());
    }
    if !process.cwd.starts_with('/') {
        return Err("Cwd must be an absolute path".to_owned());
    }
    let limit = process.user.umask.unwrap_or(DEFAULT_UMASK);
    Ok(ProcessPlan {
        process,
        args: strings(&process.args, "args")?,
        env: environment(&process.env)?,
        has_home: process.env.iter().any(|var| var.starts_with("HOME=") && var != "HOME="),
        caps: capabilities::parse(process.capabilities.as_ref()),
        rlimits: process.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
        scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
        io_priority: match &process.io_priority {
            Some(priority) => Some(io_priority(&priority.class, priority.priority)?),
            None => None,
        },
        umask: limit & 0o777,
        filter: None,
        preserve_fds: 0,
        session_keyring: None,
        dies_with_parent: false,
    })
}

fn strings(list: &[String], what: &str) -> Result<Vec<CString>, String> {
    list.iter()
        .map(|s| CString::new(s.as_str()).map_err(|_| format!("{what} contains a NUL byte")))
        .collect()
}

/// The environment: of one name the last value counts, in the place of the first.
fn environment(list: &[String]) -> Result<Vec<CString>, String> {
    let mut kept: Vec<&str> = Vec::with_capacity(list.len());
    let name = |var: &str| var.split('=').next().map(str::to_owned);
    for var in list {
        if !var.contains('=') || var.starts_with('=') {
            return Err(format!("invalid environment variable: {var:?}"));
        }
        match kept.iter().position(|old| name(old) == name(var)) {
            Some(place) => kept[place] = var,
            None => kept.push(var),
        }
    }
    kept.into_iter()
        .map(|s| CString::new(s).map_err(|_| "env contains a NUL byte".to_owned()))
        .collect()
}

fn rlimit(limit: &Rlimit) -> Result<(Resource, Rlimit), String> {
    let resource = match limit.kind.as_str() {
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_STACK" => Resource::Stack,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        other => return Err(format!("invalid rlimit type: {other}")),
    };
    if limit.soft > limit.hard {
        return Err(format!(
            "{}: soft limit {} is above hard {}",
            limit.kind, limit.soft, limit.hard
        ));
    }
    Ok((resource, limit.clone()))
}

fn scheduler(given: &Scheduler) -> Result<Attributes, String> {
    let policy = match given.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(format!("invalid scheduler policy: {other}")),
    };
    let mut flags = 0;
    for flag in &given.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(format!("invalid scheduler flag: {other}")),
        };
    }
    let priority = u32::try_from(given.priority)
        .map_err(|_| format!("invalid scheduler priority: {}", given.priority))?;
    if !(-20..=19).contains(&given.nice) {
        return Err(format!("invalid scheduler nice value: {}", given.nice));
    }
    Ok(Attributes {
        policy,
        flags,
        nice: given.nice,
        priority,
        runtime_ns: given.runtime,
        deadline_ns: given.deadline,
        period_ns: given.period,
    })
}

fn io_priority(class: &str, priority: i32) -> Result<(u16, u16), String> {
    let class = match class {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(format!("invalid ioPriority class: {other}")),
    };
    match u16::try_from(priority) {
        Ok(level) if level <= 7 => Ok((class, level)),
        _ => Err(format!("invalid ioPriority level: {priority}")),
    }
}

/// The filter: a given program, or the profile compiled.
pub(crate) fn filter(
    given: Option<&[u8]>,
    flags: u32,
    profile: Option<&Seccomp>,
) -> Result<Option<Filter>, gantry_seccomp::SeccompError> {
    if let Some(program) = given {
        return Ok(Some(Filter { program: program.to_vec(), flags }));
    }
    let Some(profile) = profile else {
        return Ok(None);
    };
    let program = gantry_seccomp::compile(profile)?;
    Ok(Some(Filter { program: program.to_bytes(), flags: program.flags() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts() {
        let env = ["A=1", "B=2", "A=3"].map(str::to_owned);
        assert_eq!(environment(&env).unwrap(), [c"A=3".to_owned(), c"B=2".to_owned()]);
        for bad in ["A", "=1", "A=\0"] {
            assert!(environment(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn impossible_values_are_named() {
        let process = |change: fn(&mut Process)| {
            let mut process =
                Process { args: vec!["a".into()], cwd: "/".into(), ..Process::default() };
            change(&mut process);
            parse(&process).map(drop).unwrap_err()
        };
        for (text, change) in [
            ("args must not be empty", (|p| p.args.clear()) as fn(&mut Process)),
            ("Cwd must be an absolute path", |p| p.cwd = "a".into()),
            ("invalid rlimit type: RLIMIT_X", |p| {
                p.rlimits = vec![Rlimit { kind: "RLIMIT_X".into(), hard: 0, soft: 0 }];
            }),
            ("invalid scheduler policy: X", |p| {
                p.scheduler = Some(Scheduler { policy: "X".into(), ..Scheduler::default() });
            }),
        ] {
            assert_eq!(process(change), text);
        }
    }
}
