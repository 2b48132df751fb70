//! What a container shows of the host, taken before the host is out of sight.
//!
//! A container whose mount namespace starts empty has no way to the host's paths any more once it
//! is inside. All that comes from there is opened first, as copies that are attached nowhere.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gantry_cgroup::{Cgroup, Host};
use gantry_sys::mount::{Change, Propagation};

use super::cgroup_view::Sources;
use super::{InitPlan, is_dev, mounts};
use crate::Rootfs;
use crate::channel::{During, Failure};
use crate::mount_options::Options;
use crate::mount_plan::{Kind, MountPlan};

impl InitPlan<'_> {
    /// Whether the container needs the host's paths at no later time, so that its mount namespace
    /// may start empty.
    pub(crate) fn may_start_empty(&self) -> bool {
        let Self { linux, process, .. } = self;
        let is_set = |text: Option<&String>| text.is_some_and(|text| !text.is_empty());
        // Mounts that spread to the host, or what the host mounts there later.
        let spreads = is_set(linux.rootfs_propagation.as_ref());
        // These look at the host's root, and at the container's by its path there.
        let hooks = self.spec.hooks.as_ref().is_some_and(|hooks| {
            !hooks.prestart.is_empty()
                || !hooks.create_runtime.is_empty()
                || !hooks.create_container.is_empty()
        });
        // Whether SELinux is there is seen below the host's `/sys`.
        let labels =
            is_set(linux.mount_label.as_ref()) || is_set(process.process.selinux_label.as_ref());
        // Files may be masked by the host's null device, where the image brings a `/dev`.
        let own_dev =
            self.mounts.iter().any(|m| is_dev(m) && matches!(m.kind, Kind::FileSystem { .. }));
        let on_devices = self
            .mounts
            .iter()
            .any(|m| matches!(m.kind, Kind::FileSystem { name, .. } if !mounts::is_virtual(name)));
        self.namespaces.makes_mounts()
            && !self.namespaces.has_user()
            && matches!(self.rootfs, Rootfs::Overlay { .. })
            && !spreads
            && !hooks
            && !labels
            && own_dev
            && !on_devices
            && self.notify_socket.is_none()
            && !self.no_pivot
    }
}

/// Opens what mounts show of the host; of a control group with or without a namespace of its own.
pub(super) fn sources(
    mounts: &mut [MountPlan<'_>],
    (host, group, own_group): (&Host, Option<&Cgroup>, bool),
) -> Result<(), Failure> {
    for plan in mounts {
        match &mut plan.kind {
            Kind::Bind(source) => {
                let tree = clone(source, &plan.options);
                let tree = tree.map_err(|failure| mounts::mounting(plan, failure))?;
                plan.kind.hold(tree);
            }
            Kind::Cgroup(sources) => {
                *sources = Some(Sources::gather(host, group, own_group, &plan.options)?);
            }
            Kind::Cloned { .. } | Kind::FileSystem { .. } => {}
        }
    }
    Ok(())
}

/// As everything is in a copy of the host's namespace: what the host mounts below comes, what the
/// container mounts stays.
fn clone(source: &Path, options: &Options) -> Result<OwnedFd, Failure> {
    let tree = mounts::clone_source(source, options)?;
    let change = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    gantry_sys::mount::change(tree.as_fd(), change, true).during(|| "setting propagation")?;
    Ok(tree)
}
