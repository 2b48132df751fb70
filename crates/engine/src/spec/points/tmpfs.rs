//! `--tmpfs`: where, and with which options.

use std::collections::BTreeMap;

use crate::error::Invalid;

use super::clean;

/// Options that Docker takes for a tmpfs: attributes of mounts, and the file system's own.
const WORDS: [&str; 30] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
];
const MORE_WORDS: [&str; 3] = ["nostrictatime", "unbindable", "runbindable"];
const KEYS: [&str; 7] = ["mode", "size", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Checks all of `HostConfig.Tmpfs`.
pub(super) fn check_all(tmpfs: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for (target, options) in tmpfs {
        if clean(target) == "/" && target.starts_with('/') {
            return Err(Invalid("invalid specification: destination can't be '/'".into()));
        }
        if !target.starts_with('/') {
            return Err(Invalid(format!(
                "invalid mount path: '{target}' mount path must be absolute"
            )));
        }
        let options: Vec<String> =
            options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        check(&options)?;
    }
    Ok(())
}

/// Checks the options of one.
pub(super) fn check(options: &[String]) -> Result<(), Invalid> {
    let known = |option: &&String| {
        let key = option.split_once('=').map(|(key, _)| key);
        let word = option.as_str();
        key.is_some_and(|key| KEYS.contains(&key))
            || WORDS.contains(&word)
            || MORE_WORDS.contains(&word)
    };
    match options.iter().find(|option| !known(option)) {
        Some(odd) => Err(Invalid(format!("invalid tmpfs option [{odd:?}]"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let one = |path: &str, options: &str| {
            check_all(&[(path.to_owned(), options.to_owned())].into()).map_err(|e| e.to_string())
        };
        assert_eq!(one("/t", "ro,size=1m,noexec"), Ok(()));
        assert_eq!(one("/t", "bogus").unwrap_err(), "invalid tmpfs option [\"bogus\"]");
        assert!(one("t", "").unwrap_err().contains("'t' mount path must be absolute"));
        assert!(one("/", "").unwrap_err().contains("destination can't be '/'"));
    }
}
