//! A profile's words turned into numbers: actions, comparisons, architectures, flags, rules.

use gantry_oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use crate::numbers::{self, Abi};
use crate::{SeccompError, action, flags};

/// What a profile means for one ABI: for each system call number what happens.
pub(crate) struct Table {
    pub(crate) abi: Abi,
    /// Sorted by number; each number once.
    pub(crate) calls: Vec<(u32, Outcome)>,
    /// The largest number that any rule names, where larger ones answer `ENOSYS`.
    pub(crate) newest: Option<u32>,
}

/// What happens to one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Always the same.
    Always(u32),
    /// The first rule whose conditions all hold decides; else the default action.
    Rules(Vec<Rule>),
}

/// Conditions and the action for when they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: u32,
}

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) index: u8,
    pub(crate) compare: Compare,
    pub(crate) value: u64,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// Equal under this mask.
    Masked(u64),
}

/// The profile, read.
pub(crate) struct Profile {
    pub(crate) default: u32,
    pub(crate) flags: u32,
    pub(crate) tables: Vec<Table>,
}

/// A rule of the profile with its names resolved, but for no ABI yet.
struct Parsed<'a> {
    name: &'a str,
    row: &'static [i32; 5],
    action: u32,
    conditions: Vec<Condition>,
    /// A rule that only says the default again: it counts for `newest` and for nothing else.
    redundant: bool,
}

impl Profile {
    /// Reads a profile.
    pub(crate) fn read(profile: &Seccomp) -> Result<Profile, SeccompError> {
        let default = read_action(&profile.default_action, profile.default_errno_ret)?;
        if default == action::USER_NOTIFY {
            return Err(SeccompError::Conflict("SCMP_ACT_NOTIFY cannot be used as default action"));
        }
        let abis = read_architectures(&profile.architectures)?;
        let mut rules = Vec::new();
        for rule in &profile.syscalls {
            read_rule(rule, default, &mut rules)?;
        }
        // Calls newer than the profile look like calls that the kernel does not have, so that
        // programs fall back to older ones: unless the default lets them pass, or says so itself.
        let lenient = matches!(default & action::MASK, action::ALLOW | action::LOG | action::TRACE)
            || default == action::ERRNO | ENOSYS;
        let tables = abis.into_iter().map(|abi| table(abi, &rules, lenient)).collect();
        let notify = rules.iter().any(|rule| rule.action == action::USER_NOTIFY);
        let flags = read_flags(&profile.flags, notify)?;
        Ok(Profile { default, flags, tables })
    }
}

/// `ENOSYS`.
pub(crate) const ENOSYS: u32 = 38;
/// `EPERM`, what an action returns that takes an `errno` and was given none.
const EPERM: u32 = 1;

fn read_action(name: &str, errno: Option<u32>) -> Result<u32, SeccompError> {
    let code = match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => action::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => action::TRAP,
        "SCMP_ACT_ERRNO" => action::ERRNO,
        "SCMP_ACT_TRACE" => action::TRACE,
        "SCMP_ACT_ALLOW" => action::ALLOW,
        "SCMP_ACT_LOG" => action::LOG,
        "SCMP_ACT_NOTIFY" => action::USER_NOTIFY,
        _ => return Err(SeccompError::Action(name.to_owned())),
    };
    match (code, errno) {
        (action::ERRNO | action::TRACE, errno) => {
            let data = errno.unwrap_or(EPERM);
            if data > action::DATA {
                return Err(SeccompError::Errno { action: name.to_owned(), errno: data });
            }
            Ok(code | data)
        }
        (_, Some(errno)) => Err(SeccompError::Errno { action: name.to_owned(), errno }),
        (_, None) => Ok(code),
    }
}

/// The ABIs to make tables for. The machine's own is always among them; those that this machine's
/// kernel cannot run are left out, since no call of theirs can reach the filter.
fn read_architectures(names: &[String]) -> Result<Vec<Abi>, SeccompError> {
    let mut abis = vec![NATIVE];
    for name in names {
        let abi = match name.as_str() {
            "SCMP_ARCH_NATIVE" => NATIVE,
            "SCMP_ARCH_X86_64" => Abi::X86_64,
            "SCMP_ARCH_X86" => Abi::X86,
            "SCMP_ARCH_X32" => Abi::X32,
            "SCMP_ARCH_AARCH64" => Abi::Aarch64,
            "SCMP_ARCH_ARM" => Abi::Arm,
            name if FOREIGN.contains(&name) => continue,
            _ => return Err(SeccompError::Architecture(name.clone())),
        };
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    abis.sort();
    Ok(abis)
}

/// The ABI that this program was compiled for.
pub(crate) const NATIVE: Abi =
    if cfg!(target_arch = "aarch64") { Abi::Aarch64 } else { Abi::X86_64 };

/// Architectures that the runtime specification knows and no table here has.
const FOREIGN: &[&str] = &[
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

fn read_flags(names: &[String], notify: bool) -> Result<u32, SeccompError> {
    // No flags at all means the usual default: a filter does not switch speculation off.
    let mut bits = if names.is_empty() { flags::SPEC_ALLOW } else { 0 };
    for name in names {
        bits |= match name.as_str() {
            // The filter is installed by the only thread there is.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => flags::LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => flags::SPEC_ALLOW,
            // The kernel takes this one only together with a listener.
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if notify => flags::WAIT_KILLABLE_RECV,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 0,
            _ => return Err(SeccompError::Flag(name.clone())),
        };
    }
    Ok(if notify { bits | flags::NEW_LISTENER } else { bits })
}

/// Reads one rule into one entry a name; unknown names are left out.
fn read_rule<'a>(
    rule: &'a SeccompRule,
    default: u32,
    into: &mut Vec<Parsed<'a>>,
) -> Result<(), SeccompError> {
    let action = read_action(&rule.action, rule.errno_ret)?;
    let name = rule.names.first().map_or("", String::as_str);
    let mut conditions = Vec::with_capacity(rule.args.len());
    for arg in &rule.args {
        conditions.push(read_condition(arg, name)?);
    }
    if action == action::USER_NOTIFY && rule.names.iter().any(|name| name == "write") {
        // The runtime itself must write to tell its parent of the listener.
        return Err(SeccompError::Conflict("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
    }
    // Two comparisons of one argument in one rule: by long custom of runtimes each counts alone.
    let repeated = (0..6).any(|n| conditions.iter().filter(|one| one.index == n).count() > 1);
    for name in &rule.names {
        let Some(row) = numbers::row(name) else { continue };
        let redundant = action == default;
        if repeated {
            for one in &conditions {
                into.push(Parsed { name, row, action, conditions: vec![*one], redundant });
            }
        } else {
            into.push(Parsed { name, row, action, conditions: conditions.clone(), redundant });
        }
    }
    Ok(())
}

fn read_condition(arg: &SeccompArg, syscall: &str) -> Result<Condition, SeccompError> {
    let (compare, value) = match arg.op.as_str() {
        "SCMP_CMP_EQ" => (Compare::Equal, arg.value),
        "SCMP_CMP_NE" => (Compare::NotEqual, arg.value),
        "SCMP_CMP_GT" => (Compare::Greater, arg.value),
        "SCMP_CMP_GE" => (Compare::GreaterOrEqual, arg.value),
        "SCMP_CMP_LT" => (Compare::Less, arg.value),
        "SCMP_CMP_LE" => (Compare::LessOrEqual, arg.value),
        "SCMP_CMP_MASKED_EQ" => (Compare::Masked(arg.value), arg.value_two & arg.value),
        _ => return Err(SeccompError::Operator(arg.op.clone())),
    };
    match u8::try_from(arg.index) {
        Ok(index @ 0..6) => Ok(Condition { index, compare, value }),
        _ => Err(SeccompError::ArgumentIndex { syscall: syscall.to_owned(), index: arg.index }),
    }
}

/// The rules as one ABI sees them.
fn table(abi: Abi, rules: &[Parsed<'_>], lenient: bool) -> Table {
    let mut newest = None;
    let mut entries = Vec::with_capacity(rules.len());
    for rule in rules {
        let number = numbers::number(rule.row, abi);
        newest = newest.max(number);
        if rule.redundant {
            continue;
        }
        if let Some(number) = number {
            entries
                .push((number, Rule { conditions: rule.conditions.clone(), action: rule.action }));
        }
        if let Some((number, which)) = (abi == Abi::X86).then(|| multiplexed(rule.name)).flatten() {
            entries.push((number, through_multiplexer(rule, which)));
        }
    }
    entries.sort_by_key(|(number, _)| *number);
    let mut calls: Vec<(u32, Outcome)> = Vec::with_capacity(entries.len());
    for (number, rule) in entries {
        match calls.last_mut() {
            Some((last, outcome)) if *last == number => add(outcome, rule),
            _ => calls.push((number, first(rule))),
        }
    }
    Table { abi, calls, newest: newest.filter(|_| !lenient) }
}

fn first(rule: Rule) -> Outcome {
    if rule.conditions.is_empty() {
        Outcome::Always(rule.action)
    } else {
        Outcome::Rules(vec![rule])
    }
}

/// Adds a rule to a call that has some: the first one without conditions stands above all others.
fn add(outcome: &mut Outcome, rule: Rule) {
    match outcome {
        Outcome::Always(_) => {}
        Outcome::Rules(rules) if !rule.conditions.is_empty() => rules.push(rule),
        Outcome::Rules(_) => *outcome = Outcome::Always(rule.action),
    }
}

/// The same rule for a call that goes through `socketcall(2)` or `ipc(2)`, whose first argument
/// says which call is meant. What was asked of the call's own first argument cannot be seen.
fn through_multiplexer(rule: &Parsed<'_>, which: u64) -> Rule {
    let mut conditions = vec![Condition { index: 0, compare: Compare::Equal, value: which }];
    conditions.extend(rule.conditions.iter().filter(|one| one.index != 0));
    Rule { conditions, action: rule.action }
}

/// The number of the multiplexer on 32-bit x86, and which of its calls a name is.
fn multiplexed(name: &str) -> Option<(u32, u64)> {
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    Some(match name {
        "socket" => (SOCKETCALL, 1),
        "bind" => (SOCKETCALL, 2),
        "connect" => (SOCKETCALL, 3),
        "listen" => (SOCKETCALL, 4),
        "accept" => (SOCKETCALL, 5),
        "getsockname" => (SOCKETCALL, 6),
        "getpeername" => (SOCKETCALL, 7),
        "socketpair" => (SOCKETCALL, 8),
        "send" => (SOCKETCALL, 9),
        "recv" => (SOCKETCALL, 10),
        "sendto" => (SOCKETCALL, 11),
        "recvfrom" => (SOCKETCALL, 12),
        "shutdown" => (SOCKETCALL, 13),
        "setsockopt" => (SOCKETCALL, 14),
        "getsockopt" => (SOCKETCALL, 15),
        "sendmsg" => (SOCKETCALL, 16),
        "recvmsg" => (SOCKETCALL, 17),
        "accept4" => (SOCKETCALL, 18),
        "recvmmsg" => (SOCKETCALL, 19),
        "sendmmsg" => (SOCKETCALL, 20),
        "semop" => (IPC, 1),
        "semget" => (IPC, 2),
        "semctl" => (IPC, 3),
        "semtimedop" => (IPC, 4),
        "msgsnd" => (IPC, 11),
        "msgrcv" => (IPC, 12),
        "msgget" => (IPC, 13),
        "msgctl" => (IPC, 14),
        "shmat" => (IPC, 21),
        "shmdt" => (IPC, 22),
        "shmget" => (IPC, 23),
        "shmctl" => (IPC, 24),
        _ => return None,
    })
}
