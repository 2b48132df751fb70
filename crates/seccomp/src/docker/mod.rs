//! Docker's default profile, and Docker's profile files.
//!
//! Both are resolved for one container: its capabilities decide which rules apply, so the result is
//! a plain profile of the OCI runtime specification.

mod allowed;
mod file;

pub use file::from_docker_json;

use gantry_oci::runtime::{Seccomp, SeccompArg, SeccompRule};

/// Namespaces that `clone(2)` could make: mount, cgroup, uts, ipc, user, pid, network.
const CLONE_NAMESPACES: u64 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

/// Execution domains that `personality(2)` may set: the normal one, 32-bit, each also without
/// randomised addresses (`UNAME26` too), and the question for the present one.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Kernel crypto sockets: not namespaced, with a record of holes, and of no use to containers.
const AF_ALG: u64 = 38;
/// Between the two that are denied.
const AF_NFC: u64 = 39;
/// The families after `AF_VSOCK`, which talks to the hypervisor past every network namespace.
const AFTER_AF_VSOCK: std::ops::RangeInclusive<u64> = 41..=45;

/// Docker's default profile in its effect, for a container with these capabilities (`CAP_CHOWN`).
///
/// Every denied call gets `EPERM`. `clone3` gets `ENOSYS`, since its flags lie in memory that no
/// filter can read and C libraries then fall back to `clone`.
#[must_use]
pub fn default_profile(caps: &[String]) -> Seccomp {
    let has = |cap: &str| caps.iter().any(|one| one == cap);
    let mut syscalls: Vec<SeccompRule> =
        allowed::ALWAYS.iter().map(|names| allow(names, None)).collect();
    syscalls.push(allow(allowed::TRACING, None));
    syscalls.extend(socket_rules());
    for domain in PERSONALITIES {
        syscalls.push(allow(&["personality"], Some(compare("SCMP_CMP_EQ", domain))));
    }
    for (machines, names) in allowed::BY_MACHINE {
        if machines.contains(&std::env::consts::ARCH) {
            syscalls.push(allow(names, None));
        }
    }
    for (cap, names) in allowed::BY_CAPABILITY {
        if has(cap) {
            syscalls.push(allow(names, None));
        }
    }
    if !has("CAP_SYS_ADMIN") {
        let plain = compare("SCMP_CMP_MASKED_EQ", CLONE_NAMESPACES);
        syscalls.push(allow(&["clone"], Some(plain)));
        syscalls.push(SeccompRule {
            names: vec!["clone3".to_owned()],
            action: "SCMP_ACT_ERRNO".to_owned(),
            errno_ret: Some(crate::profile::ENOSYS),
            args: Vec::new(),
        });
    }
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(1),
        architectures: architectures(),
        syscalls,
        ..Seccomp::default()
    }
}

/// `socket(2)` by address family. The kernel looks at the lower 32 bits of the argument only, so
/// "above 40" would let a number through whose upper half is not zero: each family is named.
fn socket_rules() -> impl Iterator<Item = SeccompRule> {
    let below = compare("SCMP_CMP_LT", AF_ALG);
    let named = std::iter::once(AF_NFC).chain(AFTER_AF_VSOCK);
    let named = named.map(|family| compare("SCMP_CMP_EQ", family));
    std::iter::once(below).chain(named).map(|arg| allow(&["socket"], Some(arg)))
}

/// The machine's architecture and those that its kernel runs beside it.
fn architectures() -> Vec<String> {
    let names: &[&str] = match std::env::consts::ARCH {
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn allow(names: &[&str], arg: Option<SeccompArg>) -> SeccompRule {
    SeccompRule {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        action: "SCMP_ACT_ALLOW".to_owned(),
        errno_ret: None,
        args: arg.into_iter().collect(),
    }
}

/// A comparison of the first argument.
fn compare(op: &str, value: u64) -> SeccompArg {
    SeccompArg { index: 0, value, value_two: 0, op: op.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, action, arch, compile, numbers};

    /// What Docker gives a container that asks for nothing.
    const DOCKER_CAPS: &[&str] = &["CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_NET_RAW"];

    fn answer(caps: &[&str], name: &str, first: u64) -> u32 {
        let caps: Vec<String> = caps.iter().map(|&cap| cap.to_owned()).collect();
        let program = compile(&default_profile(&caps)).unwrap();
        let row = numbers::row(name).unwrap();
        let number = numbers::number(row, numbers::Abi::X86_64).unwrap();
        program.evaluate(&Call { number, arch: arch::X86_64, args: [first, 0, 0, 0, 0, 0] })
    }

    #[test]
    fn every_name_of_the_profile_is_known_and_named_once() {
        // Calls of machines that have no table here.
        let foreign = ["riscv_hwprobe"];
        let mut seen = std::collections::BTreeSet::new();
        for name in allowed::ALWAYS.iter().copied().flatten() {
            assert!(seen.insert(name), "{name} is named twice");
            let known = numbers::row(name).is_some() || foreign.contains(name);
            assert!(known, "{name} is unknown");
        }
        for (_, names) in allowed::BY_CAPABILITY {
            for name in *names {
                assert!(numbers::row(name).is_some(), "{name} is unknown");
            }
        }
    }

    #[test]
    fn calls_get_what_docker_gives_them() {
        let eperm = action::ERRNO | 1;
        let enosys = action::ERRNO | 38;
        let admin: &[&str] = &["CAP_SYS_ADMIN"];
        for (caps, name, first, want) in [
            (DOCKER_CAPS, "read", 0, action::ALLOW),
            (DOCKER_CAPS, "chroot", 0, action::ALLOW),
            (DOCKER_CAPS, "ptrace", 0, action::ALLOW),
            (DOCKER_CAPS, "mount", 0, eperm),
            (DOCKER_CAPS, "keyctl", 0, eperm),
            (DOCKER_CAPS, "io_uring_setup", 0, eperm),
            (DOCKER_CAPS, "unshare", 0, eperm),
            (DOCKER_CAPS, "clone", 0x11, action::ALLOW),
            (DOCKER_CAPS, "clone", 0x1000_0011, eperm),
            (DOCKER_CAPS, "clone3", 0, enosys),
            (DOCKER_CAPS, "socket", 2, action::ALLOW),
            (DOCKER_CAPS, "socket", 38, eperm),
            (DOCKER_CAPS, "socket", 0x1_0000_0026, eperm),
            (DOCKER_CAPS, "socket", 40, eperm),
            (DOCKER_CAPS, "socket", 44, action::ALLOW),
            (DOCKER_CAPS, "personality", 0xffff_ffff, action::ALLOW),
            (DOCKER_CAPS, "personality", 0x40_0000, eperm),
            (DOCKER_CAPS, "open_tree_attr", 0, enosys),
            (admin, "mount", 0, action::ALLOW),
            (admin, "clone3", 0, action::ALLOW),
            (admin, "clone", 0x1000_0011, action::ALLOW),
            (admin, "chroot", 0, eperm),
        ] {
            assert_eq!(answer(caps, name, first), want, "{name}({first:#x}) with {caps:?}");
        }
    }
}
