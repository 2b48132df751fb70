//! Kernel parameters of a network namespace (`/proc/sys/net`).
//!
//! The names of parameters are the same in every namespace, and the kernel keeps those of all
//! that the host's `/proc` was asked for in one chain of its table of names: beside a thousand
//! containers, looking up `/proc/sys/net/ipv4` takes over a millisecond. A proc file system of
//! our own, mounted nowhere and gone with its descriptor, has a chain of its own.

use std::io::{self, Write as _};
use std::net::Ipv6Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::JoinError;

/// Where the parameters are below the root of a proc file system.
const NET: &str = "sys/net";
const IPV6: &str = "ipv6/conf";

/// The parameters of the namespace that the calling thread is in, whichever that is at the time
/// of a call.
#[derive(Debug)]
pub(crate) struct Parameters {
    net: OwnedFd,
}

impl Parameters {
    /// Opens them.
    pub(crate) fn open() -> Result<Parameters, JoinError> {
        let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = own_proc()
            .and_then(|proc| rustix::fs::openat(proc, NET, path, Mode::empty()))
            // Inside a container, which may not mount proc anew.
            .or_else(|_| rustix::fs::openat(CWD, format!("/proc/{NET}"), path, Mode::empty()));
        let net = opened.map_err(|errno| JoinError::Namespace {
            step: "opening the kernel parameters",
            source: errno.into(),
        })?;
        Ok(Parameters { net })
    }

    /// Sets one, by its path below `/proc/sys/net`.
    pub(crate) fn set(&self, path: &str, value: &str) -> Result<(), JoinError> {
        let write = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.net, path, flags, Mode::empty())?;
            std::fs::File::from(file).write_all(value.as_bytes())
        };
        write()
            .map_err(|source| JoinError::Parameter { path: format!("/proc/{NET}/{path}"), source })
    }

    /// Sets those that Docker sets in every namespace: ports below 1024 and ping for everybody,
    /// no IPv6 but on loopback.
    pub(crate) fn set_defaults(&self) -> Result<(), JoinError> {
        self.set("ipv4/ip_unprivileged_port_start", "0")?;
        self.set("ipv4/ping_group_range", "0 2147483647")?;
        self.switch_ipv6(false, &[])
    }

    /// Switches IPv6 on or off for a whole namespace. New interfaces begin without it in either
    /// case; those of `without` keep without.
    pub(crate) fn switch_ipv6(&self, on: bool, without: &[String]) -> Result<(), JoinError> {
        // Not there on a kernel without IPv6.
        if !self.exists(IPV6) {
            return Ok(());
        }
        self.set("ipv6/conf/all/disable_ipv6", if on { "0" } else { "1" })?;
        self.set("ipv6/conf/default/disable_ipv6", "1")?;
        self.set("ipv6/conf/lo/disable_ipv6", "0")?;
        for name in without {
            self.set(&format!("{IPV6}/{name}/disable_ipv6"), "1")?;
        }
        Ok(())
    }

    /// Has an interface have IPv6, before it gets this address.
    pub(crate) fn allow_ipv6(
        &self,
        name: &str,
        address: Ipv6Addr,
        on_bridge: bool,
    ) -> Result<(), JoinError> {
        let conf = format!("{IPV6}/{name}");
        if !self.exists(&conf) {
            return Err(JoinError::NoIpv6(address));
        }
        // The addresses are given out by us, so nobody else has them. On a bridge, routers are its
        // gateway alone; the link of a macvlan network may have others.
        self.set(&format!("{conf}/accept_dad"), "0")?;
        if on_bridge {
            self.set(&format!("{conf}/accept_ra"), "0")?;
        }
        self.set(&format!("{conf}/disable_ipv6"), "0")
    }

    /// Has an interface never have IPv6.
    pub(crate) fn bar_ipv6(&self, name: &str) -> Result<(), JoinError> {
        // Not there on a kernel without IPv6.
        if !self.exists(IPV6) {
            return Ok(());
        }
        self.set(&format!("{IPV6}/{name}/disable_ipv6"), "1")
    }

    fn exists(&self, path: &str) -> bool {
        rustix::fs::accessat(&self.net, path, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }
}

/// A proc file system that nobody else sees.
fn own_proc() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}
