//! Mounting what a local volume's options name, with the kernel's calls alone.
//!
//! What is mounted is read from `/proc/self/mountinfo` each time: the daemon may have been killed
//! since it mounted something, and others may have unmounted it.

use std::ffi::{CString, OsString};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::options::LocalOptions;

/// How many mounts may lie on one another before we give up.
const STACK_LIMIT: usize = 64;

/// Why a volume was not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The server's name gives no address.
    #[error("error resolving passed in network volume address: lookup {host}")]
    Address {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused. Passwords are not shown.
    #[error("failed to mount local volume: mount {device}:{}{details}: {}", path.display(), plain(cause))]
    Refused {
        /// What was to be mounted.
        device: String,
        /// Where.
        path: PathBuf,
        /// Flags and data, as they are printed.
        details: String,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The top directory could not be given its owner or mode.
    #[error("setting owner and mode of {}: {}", path.display(), plain(cause))]
    Own {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It could not be unmounted.
    #[error("error while unmounting {}: {}", path.display(), plain(cause))]
    Unmount {
        /// Where it is mounted.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// The kernel's words without our library's number, and in lower case as Docker has them.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Mount options, sorted into what `mount(2)` takes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sorted {
    flags: u32,
    propagation: u32,
    data: String,
}

/// Words that set or clear a flag of `mount(2)`.
const FLAGS: [(&str, bool, u32); 27] = [
    ("defaults", true, 0),
    ("ro", true, MountFlags::RDONLY.bits()),
    ("rw", false, MountFlags::RDONLY.bits()),
    ("nosuid", true, MountFlags::NOSUID.bits()),
    ("suid", false, MountFlags::NOSUID.bits()),
    ("nodev", true, MountFlags::NODEV.bits()),
    ("dev", false, MountFlags::NODEV.bits()),
    ("noexec", true, MountFlags::NOEXEC.bits()),
    ("exec", false, MountFlags::NOEXEC.bits()),
    ("sync", true, MountFlags::SYNCHRONOUS.bits()),
    ("async", false, MountFlags::SYNCHRONOUS.bits()),
    ("dirsync", true, MountFlags::DIRSYNC.bits()),
    ("mand", true, MountFlags::PERMIT_MANDATORY_FILE_LOCKING.bits()),
    ("nomand", false, MountFlags::PERMIT_MANDATORY_FILE_LOCKING.bits()),
    ("noatime", true, MountFlags::NOATIME.bits()),
    ("atime", false, MountFlags::NOATIME.bits()),
    ("nodiratime", true, MountFlags::NODIRATIME.bits()),
    ("diratime", false, MountFlags::NODIRATIME.bits()),
    ("relatime", true, MountFlags::RELATIME.bits()),
    ("norelatime", false, MountFlags::RELATIME.bits()),
    ("strictatime", true, MountFlags::STRICTATIME.bits()),
    ("nostrictatime", false, MountFlags::STRICTATIME.bits()),
    // Only the kernel's own name of these two is missing in our library's table.
    ("bind", true, BIND),
    ("rbind", true, BIND | RECURSIVE),
    ("lazytime", true, MountFlags::LAZYTIME.bits()),
    ("nolazytime", false, MountFlags::LAZYTIME.bits()),
    ("remount", true, REMOUNT),
];
/// `MS_BIND`, `MS_REC` and `MS_REMOUNT` of `linux/mount.h`.
const BIND: u32 = 0x1000;
const RECURSIVE: u32 = 0x4000;
const REMOUNT: u32 = 0x20;

fn propagation(word: &str) -> Option<MountPropagationFlags> {
    let (plain, recursive) = match word.strip_prefix('r') {
        Some(plain) => (plain, MountPropagationFlags::REC),
        None => (word, MountPropagationFlags::empty()),
    };
    Some(
        recursive
            | match plain {
                "private" => MountPropagationFlags::PRIVATE,
                "shared" => MountPropagationFlags::SHARED,
                "slave" => MountPropagationFlags::DOWNSTREAM,
                "unbindable" => MountPropagationFlags::UNBINDABLE,
                _ => return None,
            },
    )
}

fn sort(options: &str) -> Sorted {
    let mut sorted = Sorted::default();
    let mut data = Vec::new();
    for word in options.split(',').filter(|word| !word.is_empty()) {
        if let Some((_, on, bits)) = FLAGS.iter().find(|(known, ..)| *known == word) {
            if *on { sorted.flags |= bits } else { sorted.flags &= !bits }
        } else if let Some(flags) = propagation(word) {
            sorted.propagation |= flags.bits();
        } else {
            data.push(word);
        }
    }
    sorted.data = data.join(",");
    sorted
}

/// Mounts a volume's options at its directory.
pub(crate) fn mount(options: &LocalOptions, path: &Path) -> Result<(), MountError> {
    let mut o = options.o.clone();
    if matches!(options.kind.as_str(), "nfs" | "nfs4" | "cifs") {
        o = resolve(&o)?;
    }
    let mut sorted = sort(&o);
    if options.is_tmpfs() && options.size_bytes > 0 {
        let limit = format!("size={}", options.size_bytes);
        sorted.data = [sorted.data, limit]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(",");
    }
    let kernel = |cause: io::Error| MountError::Refused {
        device: options.device.clone(),
        path: path.to_owned(),
        details: details(&sorted),
        cause,
    };
    call(options, &sorted, path).map_err(kernel)?;
    own(options, path).inspect_err(|_| {
        // What is mounted but not as wished must not be taken for a mounted volume.
        let _ = unmount(path);
    })
}

fn call(options: &LocalOptions, sorted: &Sorted, path: &Path) -> io::Result<()> {
    let data = CString::new(sorted.data.as_bytes())?;
    let flags = MountFlags::from_bits_retain(sorted.flags);
    rustix::mount::mount(&options.device, path, &options.kind, flags, data.as_c_str())?;
    // The kernel takes neither with a new mount. What is half made is taken away again.
    let rest = || -> io::Result<()> {
        if sorted.propagation != 0 {
            let flags = MountPropagationFlags::from_bits_retain(sorted.propagation);
            rustix::mount::mount_change(path, flags)?;
        }
        if flags.contains(MountFlags::RDONLY) && sorted.flags & BIND != 0 {
            let again = MountFlags::from_bits_retain(sorted.flags & !RECURSIVE);
            rustix::mount::mount_remount(path, again, c"")?;
        }
        Ok(())
    };
    rest().inspect_err(|_| drop(unmount(path)))
}

/// Gives the top directory the owner and mode that the options ask for.
pub(crate) fn own(options: &LocalOptions, path: &Path) -> Result<(), MountError> {
    let failed = |cause| MountError::Own { path: path.to_owned(), cause };
    if options.uid.is_some() || options.gid.is_some() {
        std::os::unix::fs::chown(path, options.uid, options.gid).map_err(failed)?;
    }
    if let Some(mode) = options.mode {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).map_err(failed)?;
    }
    Ok(())
}

/// Flags and data as Docker prints them; a password is not.
fn details(sorted: &Sorted) -> String {
    let mut text = String::new();
    if sorted.flags != 0 {
        text.push_str(&format!(", flags: {:#x}", sorted.flags));
    }
    if !sorted.data.is_empty() {
        let hide = |word: &str| match word.split_once('=') {
            Some((key @ ("password" | "pass"), _)) => format!("{key}=********"),
            _ => word.to_owned(),
        };
        let data: Vec<String> = sorted.data.split(',').map(hide).collect();
        text.push_str(&format!(", data: {}", data.join(",")));
    }
    text
}

/// Replaces the name in `addr=` by its address: the kernel takes numbers only.
fn resolve(options: &str) -> Result<String, MountError> {
    let mut words: Vec<String> = options.split(',').map(str::to_owned).collect();
    for word in &mut words {
        let Some(host) = word.strip_prefix("addr=") else { continue };
        if host.is_empty() || host.parse::<IpAddr>().is_ok() {
            continue;
        }
        let host = host.to_owned();
        let failed = |source| MountError::Address { host: host.clone(), source };
        let mut found = (host.as_str(), 0).to_socket_addrs().map_err(failed)?;
        let none = || io::Error::new(io::ErrorKind::NotFound, "no such host");
        let address = found.next().ok_or_else(none).map_err(failed)?;
        *word = format!("addr={}", address.ip());
    }
    Ok(words.join(","))
}

/// Where something is mounted at or below `path`, the innermost last.
pub(crate) fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(points(&table).filter(|point| point.starts_with(path)).collect())
}

/// Whether something is mounted at `path`.
pub(crate) fn is_mounted(path: &Path) -> io::Result<bool> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(points(&table).any(|point| point == path))
}

/// The mount points of a table: `proc_pid_mountinfo(5)`, fifth column.
fn points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(OsString::from_vec(unescape(field))))
    })
}

/// Spaces and the like stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, behind @ ..] = rest {
        let digits = match (first, behind) {
            (b'\\', [a, b, c, ..]) => std::str::from_utf8(&[*a, *b, *c]).ok().map(str::to_owned),
            _ => None,
        };
        let octal = digits.and_then(|digits| u8::from_str_radix(&digits, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &behind[3..] } else { behind };
    }
    plain
}

/// Unmounts all that is mounted at or below `path`. A mount that is in use goes with its last user.
pub(crate) fn unmount(path: &Path) -> Result<(), MountError> {
    let failed = |cause| MountError::Unmount { path: path.to_owned(), cause };
    for _ in 0..STACK_LIMIT {
        let below = mounts_below(path).map_err(failed)?;
        let Some(outermost) = below.first() else { return Ok(()) };
        // Made private first: a bind of a shared tree would otherwise take the original's own
        // mounts away with it.
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(outermost, private)
            .and_then(|()| {
                let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
                rustix::mount::unmount(outermost, flags)
            })
            .map_err(|errno| failed(errno.into()))?;
    }
    Err(failed(io::ErrorKind::ResourceBusy.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let sorted = sort("ro,size=1m,rslave,noexec,exec,uid=5");
        assert_eq!(sorted.flags, MountFlags::RDONLY.bits());
        assert_eq!(sorted.data, "size=1m,uid=5");
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        assert_eq!(sorted.propagation, slave.bits());
        assert_eq!(sort("bind").flags, 0x1000);
        assert_eq!(sort("rbind").flags, 0x5000);
    }

    #[test]
    fn passwords_are_hidden() {
        let text = details(&sort("ro,username=u,password=secret"));
        assert_eq!(text, ", flags: 0x1, data: username=u,password=********");
    }

    #[test]
    fn mount_points_are_read() {
        let table = b"1 2 0:1 / /a\\040b rw - tmpfs x rw\n3 1 0:2 / /a\\040b/c rw - x y z\n";
        let got: Vec<_> = points(table).collect();
        assert_eq!(got, [PathBuf::from("/a b"), PathBuf::from("/a b/c")]);
    }

    #[test]
    fn addresses_stay_and_names_are_resolved() {
        assert_eq!(resolve("addr=10.0.0.1,rw").unwrap(), "addr=10.0.0.1,rw");
        let local = resolve("rw,addr=localhost").unwrap();
        assert!(local == "rw,addr=127.0.0.1" || local == "rw,addr=::1", "{local}");
        assert!(resolve("addr=no.such.host.invalid").is_err());
    }

    #[test]
    fn errors_are_said_plainly() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
    }
}
