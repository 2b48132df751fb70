//! Names of volumes, and that two calls do not work on the same one at a time.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::VolumeError;

/// Checks a name of a local volume.
pub(crate) fn check(name: &str) -> Result<(), VolumeError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if name.len() == 1 {
        return Err(VolumeError::ShortName(name.to_owned()));
    }
    if !first || !rest {
        return Err(VolumeError::BadName(name.to_owned()));
    }
    Ok(())
}

/// A name that nobody asked for: 64 hex digits.
pub(crate) fn random() -> Result<String, VolumeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| VolumeError::Random(std::io::Error::other(error.to_string())))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a name looks like one that nobody asked for.
pub(crate) fn is_random(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Names that are being worked on. A plugin that hangs holds up the calls on its own volume alone.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    names: Mutex<HashSet<String>>,
    freed: Condvar,
}

/// Holds a name until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    busy: &'a Busy,
    name: String,
}

impl Busy {
    /// Waits for a name and takes it.
    pub(crate) fn claim(&self, name: &str) -> Claim<'_> {
        let mut names = self.lock();
        while !names.insert(name.to_owned()) {
            names = self.freed.wait(names).unwrap_or_else(PoisonError::into_inner);
        }
        Claim { busy: self, name: name.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.name);
        self.busy.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for (name, want) in [
            ("ab", true),
            ("a.b-c_d0", true),
            ("a", false),
            (".ab", false),
            ("..", false),
            ("a b", false),
        ] {
            assert_eq!(check(name).is_ok(), want, "{name}");
        }
        assert!(is_random(&random().unwrap()));
    }

    #[test]
    fn a_claim_is_exclusive() {
        let busy = Busy::default();
        let first = busy.claim("a");
        let _other = busy.claim("b");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| drop(busy.claim("a")));
            drop(first);
            waits.join().unwrap();
        });
    }
}
