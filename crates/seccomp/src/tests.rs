//! The compiler against a naive reading of the profile.

use gantry_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use proptest::prelude::*;

use crate::numbers::{self, Abi};
use crate::{Call, Program, SeccompError, action, arch, compile, docker};

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

fn code(name: &str, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1);
    match name {
        "SCMP_ACT_ALLOW" => action::ALLOW,
        "SCMP_ACT_ERRNO" => action::ERRNO | data,
        "SCMP_ACT_KILL" => action::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => action::TRAP,
        "SCMP_ACT_TRACE" => action::TRACE | data,
        "SCMP_ACT_LOG" => action::LOG,
        _ => action::USER_NOTIFY,
    }
}

/// Reads the profile rule by rule, without any table: the meaning that the program must have.
fn naive(profile: &Seccomp, call: &Call) -> u32 {
    let default = code(&profile.default_action, profile.default_errno_ret);
    let abi = match (call.arch, call.number) {
        (arch::X86_64, 0x4000_0000..) => Abi::X32,
        (arch::X86_64, _) => Abi::X86_64,
        (arch::I386, _) => Abi::X86,
        _ => return action::KILL_THREAD,
    };
    let listed = |name: &str| profile.architectures.iter().any(|one| one == name);
    if abi == Abi::X86 && !listed("SCMP_ARCH_X86") {
        return action::KILL_THREAD;
    }
    if abi == Abi::X32 && !listed("SCMP_ARCH_X32") {
        return if call.number == u32::MAX { default } else { action::KILL_THREAD };
    }
    let number = |name: &str| numbers::number(numbers::row(name)?, abi);
    let named = profile.syscalls.iter().flat_map(|rule| &rule.names);
    let newest = named.filter_map(|name| number(name)).max();
    let lenient = [action::ALLOW, action::LOG, action::TRACE].contains(&(default & action::MASK));
    if !lenient && default != action::ERRNO | 38 && newest.is_some_and(|n| call.number > n) {
        return action::ERRNO | 38;
    }
    let rules: Vec<&SeccompRule> = profile
        .syscalls
        .iter()
        .filter(|rule| rule.names.iter().any(|name| number(name) == Some(call.number)))
        .filter(|rule| code(&rule.action, rule.errno_ret) != default)
        .collect();
    let plain = rules.iter().find(|rule| rule.args.is_empty());
    let hit = plain.or_else(|| rules.iter().find(|rule| holds(rule, call, abi)));
    hit.map_or(default, |rule| code(&rule.action, rule.errno_ret))
}

fn holds(rule: &SeccompRule, call: &Call, abi: Abi) -> bool {
    let one = |arg: &SeccompArg| {
        let cut = |value: u64| if abi == Abi::X86_64 { value } else { value & 0xffff_ffff };
        let (got, value) = (cut(call.args[arg.index as usize]), cut(arg.value));
        match arg.op.as_str() {
            "SCMP_CMP_EQ" => got == value,
            "SCMP_CMP_NE" => got != value,
            "SCMP_CMP_LT" => got < value,
            "SCMP_CMP_LE" => got <= value,
            "SCMP_CMP_GT" => got > value,
            "SCMP_CMP_GE" => got >= value,
            _ => got & value == cut(arg.value_two) & value,
        }
    };
    let repeated = (0..6).any(|n| rule.args.iter().filter(|arg| arg.index == n).count() > 1);
    if repeated { rule.args.iter().any(one) } else { rule.args.iter().all(one) }
}

/// Values near each other and near the borders of 32 bits.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(0xffff_ffff),
        0x1_0000_0000_u64..0x1_0000_0004,
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn arg() -> impl Strategy<Value = SeccompArg> {
    let op = prop::sample::select(vec!["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]);
    (0_u32..6, value(), value(), op).prop_map(|(index, value, value_two, op)| SeccompArg {
        index,
        value,
        value_two,
        op: format!("SCMP_CMP_{op}"),
    })
}

fn rule() -> impl Strategy<Value = SeccompRule> {
    // `socketcall`, `ipc` and what goes through them have tests of their own.
    let multiplexed = ["socket", "bind", "connect", "listen", "accept", "send", "recv", "shut"];
    let multiplexed = |name: &str| {
        multiplexed.iter().any(|one| name.starts_with(one))
            || ["sem", "msg", "shm", "getsock", "getpeer", "setsock", "ipc"]
                .iter()
                .any(|one| name.starts_with(one))
    };
    let names: Vec<&str> = numbers::names()
        .filter(|name| !multiplexed(name) && *name != "write")
        .chain(["no_such_call"])
        .collect();
    let names = prop::collection::vec(prop::sample::select(names), 1..40);
    let args = prop_oneof![Just(Vec::new()), prop::collection::vec(arg(), 1..3)];
    (names, prop::sample::select(ACTIONS), prop::option::of(1_u32..200), args).prop_map(
        |(names, action, errno, args)| SeccompRule {
            names: names.into_iter().map(str::to_owned).collect(),
            errno_ret: errno.filter(|_| action.ends_with("ERRNO") || action.ends_with("TRACE")),
            action: action.to_owned(),
            args,
        },
    )
}

fn profile() -> impl Strategy<Value = Seccomp> {
    let arches = vec![
        vec![],
        vec!["SCMP_ARCH_X86_64"],
        vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    ];
    let rules = prop::collection::vec(rule(), 0..8);
    let default = prop::sample::select(&ACTIONS[..7]);
    (default, prop::sample::select(arches), rules).prop_map(|(default, arches, syscalls)| Seccomp {
        default_action: default.to_owned(),
        architectures: arches.into_iter().map(str::to_owned).collect(),
        syscalls,
        ..Seccomp::default()
    })
}

fn agree(profile: &Seccomp, program: &Program, call: &Call) -> Result<(), TestCaseError> {
    prop_assert_eq!(program.evaluate(call), naive(profile, call), "{:?}", call);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_mean_what_profiles_say(
        profile in profile(),
        args in prop::collection::vec(prop::array::uniform6(value()), 4),
    ) {
        let program = compile(&profile).unwrap();
        for args in args {
            for arch in [arch::X86_64, arch::I386, arch::AARCH64] {
                for number in (0..560).chain([0x3fff_ffff, u32::MAX, u32::MAX - 1]) {
                    agree(&profile, &program, &Call { number, arch, args })?;
                }
            }
            for number in 0x4000_0000..0x4000_0230 {
                agree(&profile, &program, &Call { number, arch: arch::X86_64, args })?;
            }
        }
    }

    #[test]
    fn any_bytes_are_a_program_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(program) = Program::from_bytes(&bytes) {
            let _ = program.evaluate(&Call::default());
        }
    }
}

fn one_rule(rule: SeccompRule) -> Seccomp {
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        architectures: vec!["SCMP_ARCH_X86".to_owned()],
        syscalls: vec![rule],
        ..Seccomp::default()
    }
}

fn named(names: &[&str], action: &str) -> SeccompRule {
    SeccompRule {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        action: action.to_owned(),
        ..SeccompRule::default()
    }
}

#[test]
fn calls_through_socketcall_and_ipc_follow_their_names() {
    let program =
        compile(&one_rule(named(&["socket", "shmat", "vmsplice"], "SCMP_ACT_ALLOW"))).unwrap();
    for (number, first, want) in [
        (102, 1, action::ALLOW),
        (102, 2, action::ERRNO | 1),
        (117, 21, action::ALLOW),
        (117, 1, action::ERRNO | 1),
        (359, 9, action::ALLOW),
    ] {
        let call = Call { number, arch: arch::I386, args: [first, 0, 0, 0, 0, 0] };
        assert_eq!(program.evaluate(&call), want, "{number}({first})");
    }
}

#[test]
fn a_program_survives_its_file() {
    let program = compile(&docker::default_profile(&[])).unwrap();
    let bytes = program.to_bytes();
    let again = Program::from_bytes(&bytes).unwrap().with_flags(program.flags());
    assert_eq!(again, program);
    assert!(Program::from_bytes(&bytes[1..]).is_err());
    assert!(Program::from_bytes(&bytes[..bytes.len() / 2 - (bytes.len() / 2) % 8]).is_err());
    assert!(Program::from_bytes(&[]).is_err());
}

#[test]
fn bad_profiles_are_named() {
    let with = |change: fn(&mut Seccomp)| {
        let mut profile = one_rule(named(&["read"], "SCMP_ACT_ALLOW"));
        change(&mut profile);
        compile(&profile).unwrap_err()
    };
    let arg = |index, op: &str| SeccompArg { index, op: op.to_owned(), ..SeccompArg::default() };
    assert!(matches!(with(|p| p.default_action.clear()), SeccompError::Action(_)));
    assert!(matches!(with(|p| p.syscalls[0].action.push('x')), SeccompError::Action(_)));
    assert!(matches!(with(|p| p.architectures.push("x".into())), SeccompError::Architecture(_)));
    assert!(matches!(with(|p| p.flags.push("x".into())), SeccompError::Flag(_)));
    assert!(matches!(with(|p| p.syscalls[0].errno_ret = Some(1)), SeccompError::Errno { .. }));
    assert!(matches!(with(|p| p.default_errno_ret = Some(70_000)), SeccompError::Errno { .. }));
    assert!(matches!(
        with(|p| p.default_action = "SCMP_ACT_NOTIFY".into()),
        SeccompError::Conflict(_)
    ));
    let mut profile = one_rule(named(&["read"], "SCMP_ACT_ALLOW"));
    profile.syscalls[0].args = vec![arg(6, "SCMP_CMP_EQ")];
    assert!(matches!(compile(&profile), Err(SeccompError::ArgumentIndex { index: 6, .. })));
    profile.syscalls[0].args = vec![arg(0, "SCMP_CMP_XX")];
    assert!(matches!(compile(&profile), Err(SeccompError::Operator(_))));
    // More rules than 4096 instructions can hold.
    let rules = (0..2000).map(|value| SeccompRule {
        args: vec![SeccompArg { value, ..arg(0, "SCMP_CMP_EQ") }],
        ..named(&["read"], "SCMP_ACT_ALLOW")
    });
    profile.syscalls = rules.collect();
    assert!(matches!(compile(&profile), Err(SeccompError::TooLong(_))));
}

#[test]
fn flags_follow_the_profile() {
    let flags = |names: &[&str], action: &str| {
        let mut profile = one_rule(named(&["read"], action));
        profile.flags = names.iter().map(|&name| name.to_owned()).collect();
        compile(&profile).unwrap().flags()
    };
    assert_eq!(flags(&[], "SCMP_ACT_ALLOW"), 4);
    assert_eq!(flags(&["SECCOMP_FILTER_FLAG_LOG"], "SCMP_ACT_ALLOW"), 2);
    assert_eq!(flags(&["SECCOMP_FILTER_FLAG_TSYNC"], "SCMP_ACT_NOTIFY"), 8);
    assert_eq!(flags(&["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "SCMP_ACT_NOTIFY"), 40);
}

#[test]
fn dockers_profile_is_short_and_quickly_made() {
    let profile = docker::default_profile(&["CAP_SYS_CHROOT".to_owned()]);
    let program = compile(&profile).unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        compile(&profile).unwrap();
    }
    println!(
        "Docker's default: {} instructions, compiled in {:?}",
        program.instructions().len(),
        begin.elapsed() / 100
    );
    assert!(program.instructions().len() < 800);
}
