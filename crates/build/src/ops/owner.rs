//! Owners by name, looked up in the base's own files and nowhere else.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd},
};

use gantry_archive::open_in_root;
use rustix::fs::{FileType, OFlags, fstat};

use crate::graph::Owner;

/// Most that is read of a file of users or groups.
const FILE_MAX: u64 = 1 << 20;

/// Why an owner is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OwnerError {
    /// A name that the base does not know.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// The same of a group.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
    /// A number that is no id.
    #[error("{0} is no user or group id")]
    Range(String),
}

/// Finds the numbers of an owner. A number without a group has the group of the same number, a name
/// the one that the base gives it.
pub(crate) fn find(owner: &Owner, base: Option<BorrowedFd<'_>>) -> Result<(u32, u32), OwnerError> {
    let text = |path: &str| base.and_then(|base| read(base, path)).unwrap_or_default();
    let (uid, own_gid) = match number(&owner.user)? {
        Some(uid) => (uid, uid),
        None if owner.user.is_empty() => (0, 0),
        None => by_name(&text("etc/passwd"), &owner.user, [2, 3])
            .ok_or_else(|| OwnerError::User(owner.user.clone()))?,
    };
    let gid = match number(&owner.group)? {
        Some(gid) => gid,
        None if owner.group.is_empty() => own_gid,
        None => {
            by_name(&text("etc/group"), &owner.group, [2, 2])
                .ok_or_else(|| OwnerError::Group(owner.group.clone()))?
                .0
        }
    };
    Ok((uid, gid))
}

/// A number, if it is one; all digits that are no id are an error, never a name.
fn number(text: &str) -> Result<Option<u32>, OwnerError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The largest number means "leave it" to the kernel.
    match text.parse().ok().filter(|id| *id != u32::MAX) {
        Some(id) => Ok(Some(id)),
        None => Err(OwnerError::Range(text.to_owned())),
    }
}

fn by_name(text: &str, name: &str, fields: [usize; 2]) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let parts: Vec<&str> = line.split(':').collect();
        let id = |field: usize| parts.get(field)?.trim().parse().ok();
        (parts[0] == name).then_some(())?;
        Some((id(fields[0])?, id(fields[1])?))
    })
}

/// A small file of the base; none if it is missing or no regular file.
fn read(base: BorrowedFd<'_>, path: &str) -> Option<String> {
    // Neither a pipe nor a device must hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open_in_root(base.as_fd(), path.as_bytes(), flags).ok()?;
    if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::from(file).take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:\nodd:x:y:1::/:\n";
        std::fs::write(base.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(base.path().join("etc/group"), "www:x:80:web\n").unwrap();
        let root = gantry_archive::open_root(base.path()).unwrap();
        let owner = |text: &str| {
            let (user, group) = text.split_once(':').unwrap_or((text, ""));
            let owner = Owner { user: user.into(), group: group.into() };
            find(&owner, Some(root.as_fd())).ok()
        };
        for (text, want) in [
            ("web", Some((33, 34))),
            ("web:www", Some((33, 80))),
            ("web:7", Some((33, 7))),
            ("55", Some((55, 55))),
            ("55:www", Some((55, 80))),
            (":www", Some((0, 80))),
            ("nobody", None),
            ("web:nogroup", None),
            ("odd", None),
            ("4294967295", None),
            ("4294967296", None),
            ("99999999999999999999", None),
            ("-1", None),
        ] {
            assert_eq!(owner(text), want, "{text}");
        }
        let none = Owner { user: "web".into(), group: String::new() };
        assert_eq!(find(&none, None), Err(OwnerError::User("web".into())));
    }

    #[test]
    fn users_outside_are_not_seen() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("etc")).unwrap();
        std::os::unix::fs::symlink(
            "../../../../../../../etc/passwd",
            base.path().join("etc/passwd"),
        )
        .unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            base.path().join("etc/group"),
            FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let root = gantry_archive::open_root(base.path()).unwrap();
        for (user, group) in [("root", ""), ("0", "root")] {
            let owner = Owner { user: user.into(), group: group.into() };
            assert!(find(&owner, Some(root.as_fd())).is_err(), "{user}:{group}");
        }
    }
}
