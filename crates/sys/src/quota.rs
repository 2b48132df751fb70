//! Project quotas: `quotactl_fd(2)`, Linux 5.14, and the project id of a directory.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// `PRJQUOTA` of `linux/quota.h`.
const PROJECT: u32 = 2;
/// `Q_XGETQUOTA`, `Q_XSETQLIM` and `Q_XGETQSTAT` of `linux/dqblk_xfs.h`: the form of limits that
/// ext4 and XFS both take.
const GET_QUOTA: u32 = (b'X' as u32) << 8 | 3;
const SET_LIMITS: u32 = (b'X' as u32) << 8 | 4;
const GET_STATE: u32 = (b'X' as u32) << 8 | 5;
/// `FS_QUOTA_PDQ_ENFD`: limits of projects are enforced.
const PROJECT_ENFORCED: u16 = 1 << 5;
/// `FS_DQUOT_VERSION`.
const DISK_QUOTA_VERSION: i8 = 1;
/// `FS_PROJ_QUOTA`.
const DISK_QUOTA_PROJECT: i8 = 1 << 1;
/// `FS_DQ_BSOFT | FS_DQ_BHARD`.
const BLOCK_LIMITS: u16 = 1 << 2 | 1 << 3;
/// Unit of `fs_disk_quota`'s block counts, in bytes.
const BLOCK_BYTES: u64 = 512;
/// `FS_XFLAG_PROJINHERIT` of `linux/fs.h`: what is made below gets the same project.
const PROJECT_INHERIT: u32 = 0x200;
/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`.
const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
const SET_ATTRIBUTES: libc::c_ulong = 0x401c_5820;

/// `struct fs_disk_quota` of `linux/dqblk_xfs.h`.
#[repr(C)]
#[derive(Default)]
struct DiskQuota {
    version: i8,
    flags: i8,
    field_mask: u16,
    id: u32,
    block_hard: u64,
    block_soft: u64,
    inode_hard: u64,
    inode_soft: u64,
    blocks: u64,
    inodes: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    timers_high: [i8; 4],
    realtime: [u64; 3],
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: [u8; 10],
}

/// `struct fs_quota_stat` of the same; what is not looked at is left as bytes.
#[repr(C, align(8))]
struct QuotaState {
    version: i8,
    flags: u16,
    rest: [u8; 76],
}

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

fn quotactl<T>(file: BorrowedFd<'_>, command: u32, id: u32, data: &mut T) -> io::Result<()> {
    // SAFETY: `file` stays open for the call; `data` is initialised, outlives the call, and is the
    // structure that `command` reads or fills, by the three callers below.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            file.as_raw_fd(),
            command << 8 | PROJECT,
            id,
            std::ptr::from_mut(data),
        )
    };
    check(rc).map(drop)
}

/// Whether the file system that a file is on holds projects to their limits.
#[must_use]
pub fn enforces_projects(file: BorrowedFd<'_>) -> bool {
    let mut state = QuotaState { version: 1, flags: 0, rest: [0; 76] };
    quotactl(file, GET_STATE, 0, &mut state).is_ok() && state.flags & PROJECT_ENFORCED != 0
}

/// Whether a project has neither limits nor files.
///
/// # Errors
/// The kernel's, such as `ENOSYS` below Linux 5.14.
pub fn is_unused(file: BorrowedFd<'_>, project: u32) -> io::Result<bool> {
    let mut quota = DiskQuota { version: DISK_QUOTA_VERSION, ..DiskQuota::default() };
    match quotactl(file, GET_QUOTA, project, &mut quota) {
        Ok(()) => Ok(quota.block_hard == 0 && quota.blocks == 0 && quota.inodes == 0),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Limits what the files of a project may take, in bytes, rounded up to 512; 0 is no limit.
///
/// # Errors
/// `ESRCH` or `EINVAL` where projects have no limits, `EPERM` without `CAP_SYS_ADMIN`.
pub fn limit_project(file: BorrowedFd<'_>, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK_BYTES);
    let mut quota = DiskQuota {
        version: DISK_QUOTA_VERSION,
        flags: DISK_QUOTA_PROJECT,
        field_mask: BLOCK_LIMITS,
        id: project,
        block_hard: blocks,
        block_soft: blocks,
        ..DiskQuota::default()
    };
    quotactl(file, SET_LIMITS, project, &mut quota)
}

/// Gives a directory, and what is made in it from now on, to a project.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` on a file system without projects.
pub fn set_project(directory: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = Attributes::default();
    // SAFETY: the descriptor stays open for the call, and `attributes` is the structure that this
    // request fills.
    let rc = unsafe {
        libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES, std::ptr::from_mut(&mut attributes))
    };
    check(rc.into())?;
    attributes.flags |= PROJECT_INHERIT;
    attributes.project = project;
    // SAFETY: as above; this request reads the structure.
    let rc = unsafe {
        libc::ioctl(directory.as_raw_fd(), SET_ATTRIBUTES, std::ptr::from_ref(&attributes))
    };
    check(rc.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<DiskQuota>(), 112);
        assert_eq!(size_of::<QuotaState>(), 80);
        assert_eq!(size_of::<Attributes>(), 28);
    }

    #[test]
    fn a_file_system_without_quota_says_so() {
        let proc = std::fs::File::open("/proc").unwrap();
        assert!(!enforces_projects(proc.as_fd()));
        assert!(limit_project(proc.as_fd(), 1, 4096).is_err());
    }
}
