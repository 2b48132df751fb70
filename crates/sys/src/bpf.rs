//! Device filters of control groups v2: `bpf(2)` with `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! A program is made of [`Instruction`]s by whoever knows the rules; here it is only loaded and
//! attached. An attached program lives as long as its group, so no descriptor has to be kept.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// One eBPF instruction: `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the lower four bits, source register in the upper four.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

/// `BPF_PROG_ATTACH`, `BPF_PROG_DETACH`.
#[derive(Default)]
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `BPF_PROG_LOAD`, as long as device programs need it.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// `BPF_PROG_QUERY`.
#[repr(C)]
struct QueryAttributes {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Other programs, of the groups above and of this one, keep having their say.
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// Most programs of one group that [`attached_device_filters`] answers: `BPF_CGROUP_MAX_PROGS`.
const MAX_ATTACHED: usize = 64;

/// Loads a device filter.
///
/// # Errors
/// `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN`, `EINVAL` or `EACCES` when the kernel's verifier
/// refuses it, `E2BIG` when it is too long.
pub fn load_device_filter(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    name[..14].copy_from_slice(b"gantry_devices");
    let attributes = LoadAttributes {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        insns: program.as_ptr() as u64,
        // No helper is called, so no licence is asked for.
        license: c"".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name,
    };
    // SAFETY: the pointers inside lead to `program`, whose length is passed, and to a literal that
    // ends with NUL; both outlive the call.
    let fd = unsafe { bpf(PROG_LOAD, &attributes)? };
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device filter to a group, beside others or in the place of one.
///
/// # Errors
/// `ENOENT` when the program to replace is not attached, `EPERM` when a group above forbids
/// programs below it, `EINVAL` on kernels before 5.6 with `replace`.
pub fn attach_device_filter(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: raw(group.as_raw_fd())?,
        attach_bpf_fd: raw(program.as_raw_fd())?,
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: if replace.is_some() { ALLOW_MULTI | REPLACE } else { ALLOW_MULTI },
        replace_bpf_fd: replace.map_or(Ok(0), |fd| raw(fd.as_raw_fd()))?,
    };
    // SAFETY: the structure holds no pointers; its descriptors are open for the call.
    unsafe { bpf(PROG_ATTACH, &attributes) }.map(drop)
}

/// Takes a device filter off a group.
///
/// # Errors
/// `ENOENT` when it is not attached.
pub fn detach_device_filter(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: raw(group.as_raw_fd())?,
        attach_bpf_fd: raw(program.as_raw_fd())?,
        attach_type: ATTACH_CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    // SAFETY: as for attaching.
    unsafe { bpf(PROG_DETACH, &attributes) }.map(drop)
}

/// The device filters attached to a group itself, not those of the groups above it.
///
/// # Errors
/// `EINVAL` on kernels without `BPF_PROG_QUERY`, `ENOSPC` with more than 64 programs.
pub fn attached_device_filters(group: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MAX_ATTACHED];
    let mut attributes = QueryAttributes {
        target_fd: raw(group.as_raw_fd())?,
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        padding: 0,
    };
    // SAFETY: the kernel writes at most `prog_cnt` ids into `ids`, which has that many, and the
    // count into the structure; both outlive the call and are borrowed by nobody else.
    unsafe { bpf_mut(PROG_QUERY, &mut attributes)? };
    let mut found = Vec::new();
    for id in ids.into_iter().take(attributes.prog_cnt as usize) {
        let question: [u32; 3] = [id, 0, 0];
        // SAFETY: the attributes are three plain numbers.
        match unsafe { bpf(PROG_GET_FD_BY_ID, &question) } {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) => found.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            // Detached and gone in between.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn raw(fd: RawFd) -> io::Result<u32> {
    u32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
}

/// Calls `bpf(2)` with attributes that the kernel only reads.
///
/// # Safety
/// Pointers inside the attributes must be valid for what the command does with them.
unsafe fn bpf<T>(command: i32, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the caller vouches for the pointers inside; the structure itself is initialised,
    // outlives the call, and its exact size is passed.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    answer(result)
}

/// Calls `bpf(2)` with attributes that the kernel also writes.
///
/// # Safety
/// As for [`bpf`].
unsafe fn bpf_mut<T>(command: i32, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: as for `bpf`; the structure is borrowed exclusively.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    answer(result)
}

fn answer(result: libc::c_long) -> io::Result<RawFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
}
