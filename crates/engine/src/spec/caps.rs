//! Capabilities: Docker's default set, additions and removals.

use gantry_oci::capability::NAMES as ALL;

use crate::error::Invalid;

/// What a container has unless told otherwise.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

const EVERY: &str = "ALL";

/// Brings names to the form `CAP_CHOWN` (or `ALL`); `field` is `CapAdd` or `CapDrop`.
///
/// # Errors
/// Docker's words for a name that is none.
pub(crate) fn normalize(field: &str, names: &[String]) -> Result<Vec<String>, Invalid> {
    names.iter().map(|name| normalize_one(field, name)).collect()
}

fn normalize_one(field: &str, name: &str) -> Result<String, Invalid> {
    let upper = name.trim().to_ascii_uppercase();
    if upper == EVERY || upper == "CAP_ALL" {
        return Ok(EVERY.to_owned());
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if ALL.contains(&full.as_str()) {
        Ok(full)
    } else {
        Err(Invalid(format!("invalid {field}: unknown capability: {full:?}")))
    }
}

/// The set of a container; `available` is this process's bounding set as a mask.
pub(crate) fn resolve(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: u64,
) -> Vec<String> {
    let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
    if privileged {
        return owned(everything(available));
    }
    if has(add, EVERY) {
        return owned(everything(available).filter(|name| !has(drop, name)));
    }
    let mut set = Vec::new();
    if !has(drop, EVERY) {
        set.extend(owned(DEFAULT.into_iter().filter(|name| !has(drop, name))));
    }
    for name in add {
        if !set.contains(name) {
            set.push(name.clone());
        }
    }
    set
}

fn everything(available: u64) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().enumerate().filter(move |(bit, _)| available >> bit & 1 == 1).map(|(_, n)| n)
}

fn owned<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.map(str::to_owned).collect()
}

/// This process's bounding set: `CapBnd` of `/proc/self/status`; everything if it cannot be read.
pub(crate) fn available() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_with_and_without_prefix() {
        let names = list(&["net_admin", "CAP_SYS_TIME", "all"]);
        let want = list(&["CAP_NET_ADMIN", "CAP_SYS_TIME", "ALL"]);
        assert_eq!(normalize("CapAdd", &names), Ok(want));
        let error = normalize("CapAdd", &list(&["foo"])).unwrap_err();
        assert_eq!(error.to_string(), "invalid CapAdd: unknown capability: \"CAP_FOO\"");
    }

    #[test]
    fn additions_and_removals() {
        let all = u64::MAX;
        for (add, drop, privileged, count, has, has_not) in [
            (&[][..], &[][..], false, 14, "CAP_CHOWN", "CAP_SYS_ADMIN"),
            (&["CAP_SYS_ADMIN"], &["CAP_CHOWN"], false, 14, "CAP_SYS_ADMIN", "CAP_CHOWN"),
            (&["CAP_CHOWN"], &["ALL"], false, 1, "CAP_CHOWN", "CAP_KILL"),
            (&["ALL"], &["CAP_CHOWN"], false, 40, "CAP_BPF", "CAP_CHOWN"),
            (&[], &["ALL"], true, 41, "CAP_BPF", "none"),
        ] {
            let got = resolve(&list(add), &list(drop), privileged, all);
            assert_eq!(got.len(), count, "add {add:?} drop {drop:?}");
            assert!(got.iter().any(|c| c == has), "add {add:?} drop {drop:?} has {has}");
            assert!(!got.iter().any(|c| c == has_not), "add {add:?} drop {drop:?} not {has_not}");
        }
    }

    #[test]
    fn privileged_takes_what_there_is() {
        assert_eq!(resolve(&[], &[], true, 0b11), list(&["CAP_CHOWN", "CAP_DAC_OVERRIDE"]));
    }
}
