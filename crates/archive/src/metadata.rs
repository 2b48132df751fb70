//! Extended attributes: which ones travel, reading and writing them.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr},
    io::Errno,
};

/// Marks an overlayfs directory that hides what is below it.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// Largest attribute value; the kernel's `XATTR_SIZE_MAX`.
const VALUE_MAX: usize = 64 << 10;

/// Whether an attribute is taken from and into archives.
///
/// Overlayfs' own would let an image point into other layers. SELinux labels belong to the host.
pub(crate) fn travels(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let known = name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name == b"security.capability"
        || name.starts_with(b"system.posix_acl_");
    known && !overlay && !name.contains(&0)
}

/// Extended attributes: names with their values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The extended attributes of an open file that travel, sorted by name.
///
/// # Errors
/// The kernel's; a file system without attributes is none.
pub fn read(file: BorrowedFd<'_>) -> Result<Xattrs, Errno> {
    let mut probe = [0_u8; 1024];
    let list = match flistxattr(file, &mut probe[..]) {
        Ok(length) => probe[..length].to_vec(),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; VALUE_MAX];
            let length = flistxattr(file, &mut large[..])?;
            large.truncate(length);
            large
        }
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| travels(name)) {
        if let Some(value) = value(file, name)? {
            found.push((name.to_vec(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// One attribute; none if the file does not have it.
pub(crate) fn value(file: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; VALUE_MAX];
    match fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether an open directory of an overlay hides what is below it.
#[must_use]
pub fn is_opaque(dir: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 2];
    fgetxattr(dir, OPAQUE, &mut value[..]).is_ok_and(|length| value[..length] == *b"y")
}

/// Writes those extended attributes that travel. A file system without attributes is no error.
///
/// # Errors
/// The kernel's.
pub fn write(file: BorrowedFd<'_>, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Errno> {
    for (name, value) in xattrs.iter().filter(|(name, _)| travels(name)) {
        match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::travels;

    #[test]
    fn overlay_marks_stay_home() {
        for (name, want) in [
            ("user.x", true),
            ("security.capability", true),
            ("trusted.x", true),
            ("trusted.overlay.redirect", false),
            ("user.overlay.opaque", false),
            ("security.selinux", false),
            ("", false),
        ] {
            assert_eq!(travels(name.as_bytes()), want, "{name}");
        }
    }
}
