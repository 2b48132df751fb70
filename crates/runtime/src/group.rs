//! The control group of a container that is being made.

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{DeviceRule, Spec};

use crate::{CgroupChoice, CreateError, CreateRequest};

/// The container's control group, and whether it was made here.
pub(crate) fn choose(
    request: &CreateRequest<'_>,
    host: &Host,
) -> Result<(Cgroup, bool), CreateError> {
    let linux = request.spec.linux.as_ref();
    let path = match &request.cgroup {
        CgroupChoice::Existing(group) => return Ok((group.clone(), false)),
        CgroupChoice::Path(path) => path.clone(),
        CgroupChoice::Spec => cgroup_path(request.spec, request.id),
    };
    let mut resources = linux.and_then(|linux| linux.resources.clone()).unwrap_or_default();
    resources.devices = device_rules(&resources.devices);
    Ok((host.create(&path, &resources)?, true))
}

/// Character devices that every container may use: null, zero, full, random, urandom, tty, the
/// terminals' multiplexer, and terminals.
const USABLE: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// The rules of a specification between a denial of everything and what every container may do:
/// make any node, and use the default devices.
fn device_rules(given: &[DeviceRule]) -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceRule {
        allow,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut rules = vec![rule(false, "a", None, None, "rwm")];
    rules.extend_from_slice(given);
    // Whoever is allowed everything needs no exceptions.
    let everything = given
        .last()
        .is_some_and(|last| last.allow && last.kind.as_deref().is_none_or(|kind| kind == "a"));
    if !everything {
        rules.extend(["c", "b"].map(|kind| rule(true, kind, None, None, "m")));
        rules.extend(USABLE.map(|(major, minor)| rule(true, "c", Some(major), minor, "rwm")));
    }
    rules
}

/// The path of a container's control group below each hierarchy.
fn cgroup_path(spec: &Spec, id: &str) -> String {
    match spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()) {
        None | Some("") => format!("/{id}"),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
    }
}
