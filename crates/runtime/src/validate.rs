//! What a configuration may not ask for. The words are runc's where users know them.

use std::path::Path;

use gantry_oci::runtime::{NamespaceKind, Spec};
use rustix::thread::UnshareFlags;

use crate::namespaces::NamespacePlan;

/// Sysctls of an IPC namespace.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks a configuration against its namespaces.
pub(crate) fn check(spec: &Spec, plan: &NamespacePlan) -> Result<(), String> {
    let linux = spec.linux.as_ref().ok_or("linux section must be set")?;
    let private_mounts = plan.is_own(NamespaceKind::Mount);
    if !private_mounts {
        return Err(if linux.masked_paths.is_empty() && linux.readonly_paths.is_empty() {
            "a container needs a mount namespace of its own".to_owned()
        } else {
            "unable to restrict sys entries without a private MNT namespace".to_owned()
        });
    }
    let uts = plan.is_own(NamespaceKind::Uts);
    if spec.hostname.as_ref().is_some_and(|name| !name.is_empty()) && !uts {
        return Err("unable to set hostname without a private UTS namespace".to_owned());
    }
    if spec.domainname.as_ref().is_some_and(|name| !name.is_empty()) && !uts {
        return Err("unable to set domainname without a private UTS namespace".to_owned());
    }
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if plan.new.contains(UnshareFlags::NEWUSER) {
        if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
            return Err("user namespaces enabled, but no uid or gid mappings found".to_owned());
        }
    } else if mapped
        && plan.join_user.is_none()
        && spec.mounts.iter().all(|m| !idmapped(&m.options))
    {
        return Err(
            "user namespace mappings specified, but user namespace isn't enabled in the config"
                .to_owned(),
        );
    }
    if !linux.time_offsets.is_empty() && !plan.new_time {
        return Err(
            "time namespace offsets specified, but time namespace isn't enabled in the config"
                .to_owned(),
        );
    }
    if spec.oci_version.is_empty() {
        return Err("ociVersion must be set".to_owned());
    }
    for key in linux.sysctl.keys() {
        sysctl(&key.replace('/', "."), plan)?;
    }
    for path in linux.masked_paths.iter().chain(&linux.readonly_paths) {
        if !Path::new(path).is_absolute() {
            return Err(format!("masked and read-only paths must be absolute: {path:?}"));
        }
    }
    Ok(())
}

fn idmapped(options: &[String]) -> bool {
    options.iter().any(|option| option == "idmap" || option == "ridmap")
}

fn sysctl(key: &str, plan: &NamespacePlan) -> Result<(), String> {
    let own = |kind| plan.is_own(kind);
    let allowed = if IPC_SYSCTLS.contains(&key) || key.starts_with("fs.mqueue.") {
        own(NamespaceKind::Ipc)
    } else if key.starts_with("net.") {
        own(NamespaceKind::Network)
    } else if key == "kernel.domainname" {
        own(NamespaceKind::Uts)
    } else if key == "kernel.hostname" {
        return Err(format!(
            "sysctl {key:?} is not allowed as it conflicts with the OCI \"hostname\" field"
        ));
    } else if key.starts_with("user.") {
        own(NamespaceKind::User)
    } else {
        false
    };
    if allowed {
        Ok(())
    } else {
        Err(format!("sysctl {key:?} is not in a separate kernel namespace"))
    }
}
