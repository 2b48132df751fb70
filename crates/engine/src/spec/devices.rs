//! Device nodes and device rules.

use std::path::{Path, PathBuf};

use gantry_api_types::NullableList as _;
use gantry_api_types::host_config::{DeviceMapping, HostConfig};
use gantry_oci::runtime::{Device, DeviceRule};
use rustix::fs::FileType;

use crate::error::Invalid;

/// Most device nodes taken from one directory tree of the host.
const TREE_LIMIT: usize = 4096;

/// Nodes to make and rules to set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Devices {
    /// Nodes beyond the standard ones.
    pub(crate) nodes: Vec<Device>,
    /// Rules, in order.
    pub(crate) rules: Vec<DeviceRule>,
}

/// The devices of a container. A privileged one gets every device of the host.
///
/// # Errors
/// A device that is not there or no device, or a rule that cannot be read, in Docker's words.
pub(crate) fn of(host: &HostConfig) -> Result<Devices, Invalid> {
    if host.privileged {
        let everything = DeviceRule { allow: true, access: Some("rwm".into()), ..rule_any() };
        let mut nodes = Vec::new();
        collect(Path::new("/dev"), Path::new("/dev"), &mut nodes);
        return Ok(Devices { nodes, rules: vec![everything] });
    }
    let mut devices = Devices { nodes: Vec::new(), rules: default_rules() };
    for mapping in host.devices.items() {
        add_mapping(&mut devices, mapping)?;
    }
    for rule in host.device_cgroup_rules.items() {
        devices.rules.push(parse_rule(rule)?);
    }
    Ok(devices)
}

/// Docker's own rules; the standard nodes and terminals are the runtime's to allow.
fn default_rules() -> Vec<DeviceRule> {
    let character = |major, minor| DeviceRule {
        allow: true,
        kind: Some("c".into()),
        major: Some(major),
        minor: Some(minor),
        access: Some("rwm".into()),
    };
    let mut rules = vec![DeviceRule { access: Some("rwm".into()), ..rule_any() }];
    // zero, null, urandom, random, tty, console.
    rules.extend([(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)].map(|(a, i)| character(a, i)));
    rules
}

fn rule_any() -> DeviceRule {
    DeviceRule { allow: false, ..DeviceRule::default() }
}

fn add_mapping(devices: &mut Devices, mapping: &DeviceMapping) -> Result<(), Invalid> {
    let source = Path::new(&mapping.path_on_host);
    let target = match mapping.path_in_container.as_str() {
        "" => source,
        path => Path::new(path),
    };
    let access = match mapping.cgroup_permissions.as_str() {
        "" => "rwm",
        access => access,
    };
    let failed = |why: String| {
        Invalid(format!(
            "error gathering device information while adding custom device {:?}: {why}",
            mapping.path_on_host
        ))
    };
    let stat = rustix::fs::stat(source).map_err(|error| failed(lower(error)))?;
    let mut found = Vec::new();
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        collect(source, target, &mut found);
    } else {
        found.extend(node(&stat, target));
    }
    if found.is_empty() {
        return Err(failed("not a device node".into()));
    }
    for node in found {
        devices.rules.push(DeviceRule {
            allow: true,
            kind: Some(node.kind.clone()),
            major: Some(node.major),
            minor: Some(node.minor),
            access: Some(access.to_owned()),
        });
        devices.nodes.push(node);
    }
    Ok(())
}

fn lower(error: rustix::io::Errno) -> String {
    match error {
        rustix::io::Errno::NOENT => "no such file or directory".to_owned(),
        other => other.to_string(),
    }
}

/// All device nodes below `from`, as they appear below `to`. What cannot be read is passed over.
fn collect(from: &Path, to: &Path, found: &mut Vec<Device>) {
    // Terminals, shared memory and descriptors are the container's own.
    const SKIP: [&str; 8] =
        ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];
    let Ok(entries) = std::fs::read_dir(from) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    for name in names {
        if found.len() >= TREE_LIMIT || SKIP.iter().any(|skip| name == *skip) {
            continue;
        }
        let path = from.join(&name);
        let Ok(stat) = rustix::fs::lstat(&path) else { continue };
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            collect(&path, &to.join(&name), found);
        } else {
            found.extend(node(&stat, &to.join(&name)));
        }
    }
}

fn node(stat: &rustix::fs::Stat, path: &Path) -> Option<Device> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return None,
    };
    Some(Device {
        kind: kind.to_owned(),
        path: PathBuf::from(path),
        major: i64::from(rustix::fs::major(stat.st_rdev)),
        minor: i64::from(rustix::fs::minor(stat.st_rdev)),
        file_mode: Some(stat.st_mode & 0o7777),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
    })
}

/// Reads a rule such as `c 1:3 rwm`.
///
/// # Errors
/// Docker's words.
pub(crate) fn parse_rule(text: &str) -> Result<DeviceRule, Invalid> {
    let wrong = || Invalid(format!("invalid device cgroup rule format: '{text}'"));
    let words: Vec<&str> = text.split(' ').collect();
    let &[kind, numbers, access] = words.as_slice() else { return Err(wrong()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(-1),
        digits => digits.parse::<u32>().map(i64::from).map_err(|_| wrong()),
    };
    let fits = ["a", "b", "c"].contains(&kind)
        && (1..=3).contains(&access.len())
        && access.bytes().all(|b| b"rwm".contains(&b));
    if !fits {
        return Err(wrong());
    }
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major: Some(number(major)?),
        minor: Some(number(minor)?),
        access: Some(access.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = parse_rule("c 1:* rm").unwrap();
        assert_eq!((rule.major, rule.minor, rule.access), (Some(1), Some(-1), Some("rm".into())));
        for bad in ["", "c 1:3", "x 1:3 r", "c 1 r", "c a:b r", "c 1:3 x", "c 1:3 rwmr"] {
            let want = format!("invalid device cgroup rule format: '{bad}'");
            assert_eq!(parse_rule(bad).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn missing_and_wrong_devices_have_dockers_words() {
        let map = |path: &str| HostConfig {
            devices: Some(vec![DeviceMapping { path_on_host: path.into(), ..Default::default() }]),
            ..HostConfig::default()
        };
        let error = of(&map("/dev/none")).unwrap_err().to_string();
        assert_eq!(
            error,
            "error gathering device information while adding custom device \"/dev/none\": no such file or directory"
        );
        assert!(of(&map("/etc/passwd")).unwrap_err().to_string().ends_with("not a device node"));
        let null = of(&map("/dev/null")).unwrap();
        assert_eq!((null.nodes[0].major, null.nodes[0].minor), (1, 3));
    }
}
