//! The columns of `ps`: which the arguments ask for, and what stands in them.

use super::process::{Clock, Process, Users};

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Args,
    Comm,
    Cpu,
    CpuPercent,
    Elapsed,
    ElapsedSeconds,
    Gid,
    Group,
    MemoryPercent,
    Nice,
    Pgid,
    Pid,
    Ppid,
    Priority,
    Rss,
    Session,
    Start,
    State,
    StateLong,
    Threads,
    Time,
    TimeShort,
    Tty,
    Uid,
    User,
    Vsz,
}

/// A column with its title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    field: Field,
}

/// Names after `-o`, with the title each gets.
const NAMES: &[(&str, &str, Field)] = &[
    ("args", "COMMAND", Field::Args),
    ("c", "C", Field::Cpu),
    ("cmd", "CMD", Field::Args),
    ("comm", "COMMAND", Field::Comm),
    ("command", "COMMAND", Field::Args),
    ("cputime", "TIME", Field::Time),
    ("egid", "EGID", Field::Gid),
    ("egroup", "EGROUP", Field::Group),
    ("etime", "ELAPSED", Field::Elapsed),
    ("etimes", "ELAPSED", Field::ElapsedSeconds),
    ("euid", "EUID", Field::Uid),
    ("euser", "EUSER", Field::User),
    ("gid", "GID", Field::Gid),
    ("group", "GROUP", Field::Group),
    ("ni", "NI", Field::Nice),
    ("nice", "NI", Field::Nice),
    ("nlwp", "NLWP", Field::Threads),
    ("pcpu", "%CPU", Field::CpuPercent),
    ("%cpu", "%CPU", Field::CpuPercent),
    ("pgid", "PGID", Field::Pgid),
    ("pid", "PID", Field::Pid),
    ("pmem", "%MEM", Field::MemoryPercent),
    ("%mem", "%MEM", Field::MemoryPercent),
    ("ppid", "PPID", Field::Ppid),
    ("pri", "PRI", Field::Priority),
    ("rss", "RSS", Field::Rss),
    ("s", "S", Field::State),
    ("sess", "SESS", Field::Session),
    ("sid", "SID", Field::Session),
    ("start_time", "START", Field::Start),
    ("stat", "STAT", Field::StateLong),
    ("state", "S", Field::State),
    ("stime", "STIME", Field::Start),
    ("thcount", "THCNT", Field::Threads),
    ("time", "TIME", Field::Time),
    ("tname", "TTY", Field::Tty),
    ("tt", "TT", Field::Tty),
    ("tty", "TT", Field::Tty),
    ("uid", "UID", Field::Uid),
    ("uname", "USER", Field::User),
    ("user", "USER", Field::User),
    ("vsize", "VSZ", Field::Vsz),
    ("vsz", "VSZ", Field::Vsz),
];

const FULL: &[(&str, Field)] = &[
    ("UID", Field::User),
    ("PID", Field::Pid),
    ("PPID", Field::Ppid),
    ("C", Field::Cpu),
    ("STIME", Field::Start),
    ("TTY", Field::Tty),
    ("TIME", Field::Time),
    ("CMD", Field::Args),
];

const BSD_USER: &[(&str, Field)] = &[
    ("USER", Field::User),
    ("PID", Field::Pid),
    ("%CPU", Field::CpuPercent),
    ("%MEM", Field::MemoryPercent),
    ("VSZ", Field::Vsz),
    ("RSS", Field::Rss),
    ("TTY", Field::Tty),
    ("STAT", Field::StateLong),
    ("START", Field::Start),
    ("TIME", Field::TimeShort),
    ("COMMAND", Field::Args),
];

const BSD: &[(&str, Field)] = &[
    ("PID", Field::Pid),
    ("TTY", Field::Tty),
    ("STAT", Field::StateLong),
    ("TIME", Field::TimeShort),
    ("COMMAND", Field::Args),
];

const PLAIN: &[(&str, Field)] =
    &[("PID", Field::Pid), ("TTY", Field::Tty), ("TIME", Field::Time), ("CMD", Field::Comm)];

/// Finds the columns that the arguments of `ps` ask for.
///
/// The process list itself is the container's, whatever `-e`, `-A`, `a` and `x` say.
pub(super) fn parse(ps_args: &str) -> Result<Vec<Column>, String> {
    let mut asked: Vec<Column> = Vec::new();
    let mut layout = if ps_args.trim().is_empty() { FULL } else { PLAIN };
    let mut words = ps_args.split_whitespace();
    while let Some(word) = words.next() {
        let list = match word {
            "-o" | "o" | "-O" | "--format" => words.next().unwrap_or_default(),
            _ => word
                .strip_prefix("-o")
                .or_else(|| word.strip_prefix("--format="))
                .or_else(|| word.strip_prefix("-eo"))
                .unwrap_or_default(),
        };
        if !list.is_empty() {
            named(list, &mut asked)?;
        } else if word == "-eo" {
            named(words.next().unwrap_or_default(), &mut asked)?;
        } else if let Some(letters) = word.strip_prefix('-') {
            for letter in letters.chars() {
                match letter {
                    'f' | 'F' => layout = FULL,
                    'e' | 'A' | 'a' | 'd' | 'x' | 'w' | 'u' => {}
                    _ => return Err(format!("ps argument -{letter} is not implemented")),
                }
            }
        } else {
            layout = BSD;
            for letter in word.chars() {
                match letter {
                    'u' => layout = BSD_USER,
                    'a' | 'x' | 'w' | 'f' => {}
                    _ => return Err(format!("ps argument {letter} is not implemented")),
                }
            }
            if word.contains('u') {
                layout = BSD_USER;
            }
        }
    }
    if asked.is_empty() {
        let column = |(title, field): &(&str, Field)| Column {
            title: (*title).to_owned(),
            field: *field,
        };
        asked = layout.iter().map(column).collect();
    }
    if !asked.iter().any(|column| column.field == Field::Pid) {
        return Err("Couldn't find PID field in ps output".to_owned());
    }
    Ok(asked)
}

/// Reads `pid,comm=NAME`: a title of one's own holds to the end.
fn named(list: &str, columns: &mut Vec<Column>) -> Result<(), String> {
    for item in list.split(',').filter(|item| !item.is_empty()) {
        let (name, title) = item.split_once('=').map_or((item, None), |(n, t)| (n, Some(t)));
        let lower = name.to_ascii_lowercase();
        let known = NAMES.iter().find(|(known, _, _)| *known == lower);
        let (_, own, field) =
            known.ok_or_else(|| format!("error: unknown user-defined format specifier \"{name}\""))?;
        columns.push(Column { title: title.unwrap_or(own).to_owned(), field: *field });
    }
    Ok(())
}

impl Column {
    /// What stands in this column for a process.
    pub(super) fn value(&self, process: &Process, users: &Users, clock: &Clock) -> String {
        match self.field {
            Field::Args => process.args.clone(),
            Field::Comm => process.comm.clone(),
            Field::Cpu => percent_whole(process.cpu_s, clock.age_s(process)),
            Field::CpuPercent => percent(process.cpu_s, clock.age_s(process)),
            Field::Elapsed => elapsed(clock.age_s(process)),
            Field::ElapsedSeconds => clock.age_s(process).to_string(),
            Field::Gid => process.gid.to_string(),
            Field::Group => users.group(process.gid),
            Field::MemoryPercent => percent(process.rss_kib, clock.memory_kib),
            Field::Nice => process.nice.to_string(),
            Field::Pgid => process.pgrp.to_string(),
            Field::Pid => process.pid.to_string(),
            Field::Ppid => process.ppid.to_string(),
            Field::Priority => (39 - process.priority).to_string(),
            Field::Rss => process.rss_kib.to_string(),
            Field::Session => process.session.to_string(),
            Field::Start => clock.start(process),
            Field::State => process.state.to_string(),
            Field::StateLong => state(process),
            Field::Threads => process.threads.to_string(),
            Field::Time => time(process.cpu_s),
            Field::TimeShort => format!("{}:{:02}", process.cpu_s / 60, process.cpu_s % 60),
            Field::Tty => tty(process.tty),
            Field::Uid => process.uid.to_string(),
            Field::User => users.user(process.uid),
            Field::Vsz => process.vsz_kib.to_string(),
        }
    }
}

/// A share with one digit behind the point.
fn percent(part: u64, whole: u64) -> String {
    let permille = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}", permille / 10, permille % 10)
}

fn percent_whole(part: u64, whole: u64) -> String {
    (part * 100).checked_div(whole).unwrap_or(0).min(99).to_string()
}

/// `[[dd-]hh:]mm:ss`.
fn elapsed(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let rest = format!("{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => rest,
        (0, hours) => format!("{hours:02}:{rest}"),
        (days, hours) => format!("{days}-{hours:02}:{rest}"),
    }
}

/// `[dd-]hh:mm:ss`.
fn time(seconds: u64) -> String {
    let days = seconds / 86_400;
    let rest = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if days == 0 { rest } else { format!("{days}-{rest}") }
}

/// The state with `ps`'s letters behind it: session leader, threads, foreground, nice, locked.
fn state(process: &Process) -> String {
    let mut state = process.state.to_string();
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.locked, 'L'),
        (process.session == process.pid, 's'),
        (process.threads > 1, 'l'),
        (process.foreground == i64::from(process.pgrp), '+'),
    ];
    state.extend(marks.iter().filter(|(set, _)| *set).map(|(_, mark)| mark));
    state
}

/// The terminal of a device number: `pts/N`, `ttyN`, or `?`.
fn tty(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(args: &str) -> Result<String, String> {
        parse(args).map(|columns| {
            columns.iter().map(|column| column.title.as_str()).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn arguments_choose_columns() {
        for (args, want) in [
            ("", "UID PID PPID C STIME TTY TIME CMD"),
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("ax", "PID TTY STAT TIME COMMAND"),
            ("-e", "PID TTY TIME CMD"),
            ("-o pid,comm", "PID COMMAND"),
            ("-eo pid,user=WHO", "PID WHO"),
            ("-opid -o args", "PID COMMAND"),
        ] {
            assert_eq!(titles(args).as_deref(), Ok(want), "{args}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        for (args, words) in [
            ("-o comm", "Couldn't find PID field"),
            ("-o pid,nosuch", "\"nosuch\""),
            ("-Z", "-Z is not implemented"),
            ("q", "q is not implemented"),
        ] {
            assert!(titles(args).unwrap_err().contains(words), "{args}");
        }
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!(elapsed(59), "00:59");
        assert_eq!(elapsed(3_661), "01:01:01");
        assert_eq!(elapsed(90_061), "1-01:01:01");
        assert_eq!(time(90_061), "1-01:01:01");
        assert_eq!(tty(0x8802), "pts/2");
        assert_eq!(tty(0x401), "tty1");
        assert_eq!(tty(0), "?");
        assert_eq!(percent(1, 8), "12.5");
        assert_eq!(percent(1, 0), "0.0");
    }
}
