//! Capability sets by name, and taking them on.

use gantry_oci::capability::NAMES;
use gantry_oci::runtime::Capabilities;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::channel::{During, Failure};

/// All names, for `features`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter()
}

/// The sets of a process, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

/// Turns names into bits. Names that this program does not know are left out, as runc does.
pub(crate) fn parse(sets: Option<&Capabilities>) -> Sets {
    let Some(sets) = sets else {
        return Sets::default();
    };
    Sets {
        bounding: bits(&sets.bounding),
        effective: bits(&sets.effective),
        permitted: bits(&sets.permitted),
        inheritable: bits(&sets.inheritable),
        ambient: bits(&sets.ambient),
    }
}

fn bits(names: &[String]) -> u64 {
    names
        .iter()
        .filter_map(|name| NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)))
        .fold(0, |set, number| set | (1 << number))
}

impl Sets {
    /// Takes everything that is not in the bounding set out of it. Needs `CAP_SETPCAP`.
    ///
    /// A capability that this process does not have itself is no error: the container gets the
    /// intersection of what is asked for and what there is.
    pub(crate) fn limit(self) -> Result<(), Failure> {
        for number in 0..64 {
            if self.bounding & (1 << number) != 0 {
                continue;
            }
            let one = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // Past the last capability of this kernel.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno).during(|| "unable to apply bounding set"),
            }
        }
        Ok(())
    }

    /// Takes on the sets, but keeps `CAP_SYS_ADMIN` permitted if `keep_admin`: a system call filter
    /// without no-new-privileges still needs it.
    pub(crate) fn apply(self, keep_admin: bool) -> Result<(), Failure> {
        let text = || "unable to apply caps";
        let held = rustix::thread::capabilities(None).during(text)?.permitted.bits();
        let admin = if keep_admin { CapabilitySet::SYS_ADMIN.bits() } else { 0 };
        let permitted = self.permitted & held;
        let set = |bits: u64| CapabilitySet::from_bits_retain(bits);
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: set(self.effective & permitted),
                permitted: set(permitted | (admin & held)),
                inheritable: set(self.inheritable & held),
            },
        )
        .during(text)
    }

    /// Raises the ambient set, after [`Self::apply`].
    pub(crate) fn raise_ambient(self) -> Result<(), Failure> {
        rustix::thread::clear_ambient_capability_set().during(|| "unable to clear ambient caps")?;
        let held = rustix::thread::capabilities(None).during(|| "unable to read caps")?;
        let possible = self.ambient & held.permitted.bits() & held.inheritable.bits();
        for number in (0..64).filter(|number| possible & (1 << number) != 0) {
            let one = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(one, true)
                .during(|| "unable to apply ambient caps")?;
        }
        Ok(())
    }
}

/// Makes `CAP_SYS_ADMIN`, kept by [`Sets::apply`], effective.
pub(crate) fn raise_admin() -> Result<(), Failure> {
    let text = || "unable to raise CAP_SYS_ADMIN";
    let mut sets = rustix::thread::capabilities(None).during(text)?;
    sets.effective |= CapabilitySet::SYS_ADMIN & sets.permitted;
    rustix::thread::set_capabilities(None, sets).during(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (names, want) in [
            (&["CAP_CHOWN", "cap_kill"][..], 0b10_0001),
            (&["CAP_CHECKPOINT_RESTORE"], 1 << 40),
            (&["CAP_OF_THE_FUTURE", ""], 0),
        ] {
            assert_eq!(bits(&list(names)), want, "{names:?}");
        }
    }
}
