//! Mount options in the words of `mount(8)` and of the runtime specification.

use gantry_sys::mount::{
    self, ATIME_MASK, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, Propagation, RDONLY,
    STRICTATIME,
};

/// Options of one mount, sorted by what takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `bind` or `rbind`.
    pub(crate) bind: bool,
    /// `rbind`: with what is mounted below the source.
    pub(crate) recursive: bool,
    /// Attributes of the mount.
    pub(crate) attributes: Attributes,
    /// Attributes of the mount and of all mounts below it.
    pub(crate) recursive_attributes: Attributes,
    /// Propagation, in order; `true` with all mounts below.
    pub(crate) propagation: Vec<(Propagation, bool)>,
    /// `tmpcopyup`: a tmpfs starts with what it covers.
    pub(crate) copy_up: bool,
    /// `idmap` (`false`) or `ridmap` (`true`).
    pub(crate) idmap: Option<bool>,
    /// For the file system: a key, or a key and its value.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub(crate) clear: u64,
}

impl Attributes {
    /// Whether nothing changes.
    pub(crate) fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }

    /// Whether the mount is to be read-only.
    pub(crate) fn read_only(self) -> bool {
        self.set & RDONLY != 0
    }

    /// The same without read-only.
    pub(crate) fn writable(self) -> Attributes {
        Attributes { set: self.set & !RDONLY, clear: self.clear }
    }

    /// As `mount_setattr(2)` takes it.
    pub(crate) fn change(self) -> mount::Change<'static> {
        mount::Change { set: self.set, clear: self.clear, ..mount::Change::default() }
    }

    /// Takes an option's word; `false` if it is none of an attribute.
    fn take(&mut self, word: &str) -> bool {
        // The access time modes are one field of the kernel's: setting one clears the others.
        let (bits, on) = match word {
            "ro" => (RDONLY, true),
            "rw" => (RDONLY, false),
            "nosuid" => (NOSUID, true),
            "suid" => (NOSUID, false),
            "nodev" => (NODEV, true),
            "dev" => (NODEV, false),
            "noexec" => (NOEXEC, true),
            "exec" => (NOEXEC, false),
            "nodiratime" => (NODIRATIME, true),
            "diratime" => (NODIRATIME, false),
            "nosymfollow" => (NOSYMFOLLOW, true),
            "symfollow" => (NOSYMFOLLOW, false),
            "noatime" => return self.access_time(NOATIME),
            "strictatime" => return self.access_time(STRICTATIME),
            // Relative access times are the field's zero.
            "relatime" | "atime" | "norelatime" | "nostrictatime" => return self.access_time(0),
            _ => return false,
        };
        if on {
            self.set |= bits;
            self.clear &= !bits;
        } else {
            self.set &= !bits;
            self.clear |= bits;
        }
        true
    }

    fn access_time(&mut self, mode: u64) -> bool {
        self.set = (self.set & !ATIME_MASK) | mode;
        self.clear |= ATIME_MASK;
        true
    }
}

/// Words of superblocks that the new mount API takes as flags of the file system.
const SUPERBLOCK: [&str; 4] = ["sync", "dirsync", "lazytime", "mand"];
/// Words that ask for what is so anyway, or that no kernel heeds any more.
const IDLE: [&str; 11] = [
    "defaults",
    "async",
    "nolazytime",
    "nomand",
    "silent",
    "loud",
    "iversion",
    "noiversion",
    "acl",
    "remount",
    "copy-symlink",
];

/// Sorts a mount's options.
pub(crate) fn parse(options: &[String]) -> Options {
    let mut parsed = Options::default();
    for option in options {
        take(&mut parsed, option);
    }
    parsed
}

fn take(parsed: &mut Options, option: &str) {
    match option {
        "bind" => parsed.bind = true,
        "rbind" => (parsed.bind, parsed.recursive) = (true, true),
        "tmpcopyup" => parsed.copy_up = true,
        "idmap" => parsed.idmap = Some(false),
        "ridmap" => parsed.idmap = Some(true),
        word if IDLE.contains(&word) => {}
        word if SUPERBLOCK.contains(&word) => parsed.data.push((word.to_owned(), None)),
        word => {
            if let Some(propagation) = propagation(word) {
                parsed.propagation.push(propagation);
            } else if parsed.attributes.take(word) {
            } else if word.strip_prefix('r').is_some_and(|w| parsed.recursive_attributes.take(w)) {
            } else {
                data(&mut parsed.data, word);
            }
        }
    }
}

/// Propagation by its word, and whether it is for all mounts below.
pub(crate) fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

/// Options that `mount(2)` would get as one string: several may stand in one, with commas.
fn data(to: &mut Vec<(String, Option<String>)>, option: &str) {
    let quoted = option.contains('"');
    let parts: Vec<&str> = if quoted { vec![option] } else { option.split(',').collect() };
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        to.push(match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.trim_matches('"').to_owned())),
            None => (part.to_owned(), None),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> Options {
        parse(&options.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_word_decides() {
        for (options, set, clear) in [
            (&["ro", "nosuid"][..], RDONLY | NOSUID, 0),
            (&["ro", "rw"], 0, RDONLY),
            (&["rw", "ro"], RDONLY, 0),
            (&["noatime", "strictatime"], STRICTATIME, ATIME_MASK),
            (&["noatime", "relatime"], 0, ATIME_MASK),
        ] {
            assert_eq!(parsed(options).attributes, Attributes { set, clear }, "{options:?}");
        }
    }

    #[test]
    fn each_word_finds_its_taker() {
        let options = parsed(&[
            "rbind",
            "rro",
            "rslave",
            "tmpcopyup",
            "ridmap",
            "size=64k,mode=755",
            "newinstance",
            "context=\"a:b:c1,c2\"",
            "sync",
            "defaults",
        ]);
        assert!(options.bind && options.recursive && options.copy_up);
        assert_eq!(options.recursive_attributes.set, RDONLY);
        assert_eq!(options.propagation, [(Propagation::Slave, true)]);
        assert_eq!(options.idmap, Some(true));
        let pair = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        assert_eq!(
            options.data,
            [
                pair("size", "64k"),
                pair("mode", "755"),
                ("newinstance".to_owned(), None),
                pair("context", "a:b:c1,c2"),
                ("sync".to_owned(), None),
            ]
        );
    }
}
