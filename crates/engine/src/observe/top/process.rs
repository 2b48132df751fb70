//! One process, read from `proc(5)`.

use std::collections::HashMap;
use std::fs;

/// Ticks a second in `/proc/<pid>/stat`: `USER_HZ` is 100 on every Linux.
const TICKS_PER_S: u64 = 100;

/// What `ps` knows of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) state: char,
    /// Name of the program, at most 15 bytes.
    pub(super) comm: String,
    /// Command line; the name in brackets when there is none.
    pub(super) args: String,
    pub(super) tty: u64,
    pub(super) session: u32,
    pub(super) foreground: i64,
    pub(super) pgrp: u32,
    /// CPU time used, in seconds.
    pub(super) cpu_s: u64,
    /// Start, in ticks since boot.
    pub(super) start_ticks: u64,
    pub(super) nice: i64,
    pub(super) priority: i64,
    pub(super) threads: u64,
    /// Virtual size in KiB.
    pub(super) vsz_kib: u64,
    /// Resident size in KiB.
    pub(super) rss_kib: u64,
    pub(super) locked: bool,
}

impl Process {
    /// Reads a process; `None` when it is gone.
    pub(super) fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        parse(&stat, &status, &command)
    }
}

fn parse(stat: &str, status: &str, command: &[u8]) -> Option<Process> {
    // The name may hold blanks and parentheses: it ends at the last one.
    let (head, rest) = stat.rsplit_once(')')?;
    let (pid, comm) = head.split_once(" (")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let signed = |at: usize| fields.get(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let small = |at: usize| u32::try_from(number(at)).unwrap_or(0);
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    // Effective ids come second: real, effective, saved, file system.
    let second = |text: String| text.split_whitespace().nth(1)?.parse().ok();
    let kib = |name: &str| line(name).split_whitespace().next().and_then(|kib| kib.parse().ok());
    let args = String::from_utf8_lossy(command).trim_end_matches('\0').replace('\0', " ");
    Some(Process {
        pid: pid.parse().ok()?,
        ppid: small(1),
        uid: second(line("Uid:"))?,
        gid: second(line("Gid:"))?,
        state: fields.first()?.chars().next()?,
        comm: comm.to_owned(),
        args: if args.is_empty() { format!("[{comm}]") } else { args },
        pgrp: small(2),
        session: small(3),
        tty: number(4),
        foreground: signed(5),
        cpu_s: (number(11) + number(12)) / TICKS_PER_S,
        priority: signed(15),
        nice: signed(16),
        threads: number(17),
        start_ticks: number(19),
        vsz_kib: number(20) >> 10,
        rss_kib: kib("VmRSS:").unwrap_or(0),
        locked: kib("VmLck:").is_some_and(|locked| locked > 0),
    })
}

/// The host's user names, as `ps` on the host would show them.
pub(super) struct Users {
    names: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Users {
    /// Reads the host's user and group files.
    pub(super) fn of_host() -> Self {
        let read = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let entry = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                Some((fields.nth(1)?.parse().ok()?, name))
            };
            text.lines().rev().filter_map(entry).collect()
        };
        Self { names: read("/etc/passwd"), groups: read("/etc/group") }
    }

    /// A user's name, or its number.
    pub(super) fn user(&self, uid: u32) -> String {
        self.names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// A group's name, or its number.
    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

/// What relates a process's start to the time of day.
pub(super) struct Clock {
    now_s: i64,
    uptime_s: u64,
    pub(super) memory_kib: u64,
}

impl Clock {
    /// Reads the clocks.
    pub(super) fn read() -> Self {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime_s = uptime.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            now_s: jiff::Timestamp::now().as_second(),
            uptime_s,
            memory_kib: super::super::stats::host_memory_bytes() >> 10,
        }
    }

    /// How long a process has been there, in seconds.
    pub(super) fn age_s(&self, process: &Process) -> u64 {
        self.uptime_s.saturating_sub(process.start_ticks / TICKS_PER_S)
    }

    /// `HH:MM` for a process of today, `MonDD` for an older one, as `ps` writes it.
    pub(super) fn start(&self, process: &Process) -> String {
        let age = i64::try_from(self.age_s(process)).unwrap_or(0);
        let Ok(start) = jiff::Timestamp::from_second(self.now_s - age) else {
            return String::new();
        };
        let local = start.to_zoned(jiff::tz::TimeZone::system());
        let format = if age < 24 * 3600 { "%H:%M" } else { "%b%d" };
        local.strftime(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_blanks_are_read() {
        let stat = "42 (a) b (c) S 1 42 42 34816 42 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1000 8192000 0";
        let status = "Uid:\t0\t5\t0\t0\nGid:\t0\t6\t0\t0\nVmRSS:\t  100 kB\nVmLck:\t 0 kB\n";
        let process = parse(stat, status, b"prog\0-x\0").unwrap();
        assert_eq!((process.pid, process.ppid, process.uid, process.gid), (42, 1, 5, 6));
        assert_eq!((process.comm.as_str(), process.args.as_str()), ("a) b (c", "prog -x"));
        assert_eq!((process.cpu_s, process.rss_kib, process.vsz_kib), (2, 100, 8000));
        assert_eq!((process.threads, process.state, process.locked), (3, 'S', false));
        let kernel = parse(stat, status, b"").unwrap();
        assert_eq!(kernel.args, "[a) b (c]");
    }
}
