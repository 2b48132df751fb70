//! Which mounts a container asks for: `--volumes-from`, `-v`, `--mount`, and the image's volumes,
//! the later over the earlier, one a destination.

mod bind;
mod mounts;
mod tmpfs;

use std::collections::BTreeMap;
use std::path::Path;

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;
use gantry_api_types::{NullableList as _, NullableMap as _};

use crate::error::Invalid;
use crate::record::{MountKind, MountRecord};

/// A volume to make with the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewVolume {
    /// Its name; empty until one is found for an anonymous one, which the mount then takes over.
    pub(crate) name: String,
    /// Whether nobody asked for the name.
    pub(crate) anonymous: bool,
    /// Whether it comes from a mount, and not from the bare path of `-v` or the image: Docker
    /// shows the two with different modes.
    pub(crate) named: bool,
    /// Where it is mounted.
    pub(crate) target: String,
    /// Its driver; empty is `local`.
    pub(crate) driver: String,
    /// Its labels.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Its driver's options.
    pub(crate) options: Option<BTreeMap<String, String>>,
}

/// The mounts of a container, by destination, and the volumes that they need.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// Mounts.
    pub(crate) mounts: Vec<MountRecord>,
    /// Volumes.
    pub(crate) volumes: Vec<NewVolume>,
}

/// Reads all mounts. `inherited` gives the mounts of a container named in `VolumesFrom`;
/// `data_root` is where the daemon keeps its state.
///
/// # Errors
/// Docker's words for a specification that cannot be.
pub(crate) fn read<E: From<Invalid>>(
    config: &ContainerConfig,
    host: &HostConfig,
    data_root: &Path,
    mut inherited: impl FnMut(&str) -> Result<Vec<MountRecord>, E>,
) -> Result<Points, E> {
    tmpfs::check_all(&host.tmpfs)?;
    let mut by_target: BTreeMap<String, MountRecord> = BTreeMap::new();
    let mut points = Points::default();
    for from in host.volumes_from.items() {
        let (name, mode) = from.split_once(':').unwrap_or((from, ""));
        let read_only = bind::inherited_mode(mode)?;
        for mount in inherited(name)? {
            by_target.insert(mount.target.clone(), inherit(mount, read_only));
        }
    }
    let mut own: Vec<String> = Vec::new();
    for text in host.binds.items() {
        let mut mount = bind::parse(text)?;
        if mount.kind == MountKind::Volume {
            points.volumes.push(NewVolume {
                name: mount.source.clone(),
                target: mount.target.clone(),
                driver: host.volume_driver.clone(),
                named: true,
                ..Default::default()
            });
        }
        around_the_daemon(&mut mount, data_root)?;
        claim(&mut own, &mount.target)?;
        if host.tmpfs.keys().any(|target| clean(target) == mount.target) {
            return Err(duplicate(&mount.target).into());
        }
        by_target.insert(mount.target.clone(), mount);
    }
    for mount in &host.mounts {
        let (mut record, volume) = mounts::parse(mount)?;
        around_the_daemon(&mut record, data_root)?;
        claim(&mut own, &record.target)?;
        points.volumes.extend(volume);
        by_target.insert(record.target.clone(), record);
    }
    for (target, _) in config.volumes.pairs() {
        let target = clean(target);
        if target == "/" {
            return Err(
                Invalid("invalid volume specification: destination can't be '/'".into()).into()
            );
        }
        if by_target.contains_key(&target) || host.tmpfs.keys().any(|t| clean(t) == target) {
            continue;
        }
        let driver = host.volume_driver.clone();
        points.volumes.push(NewVolume { target: target.clone(), driver, ..Default::default() });
        let (kind, anonymous) = (MountKind::Volume, true);
        let record = MountRecord { kind, target, anonymous, ..MountRecord::default() };
        by_target.insert(record.target.clone(), record);
    }
    points.mounts = by_target.into_values().collect();
    Ok(points)
}

/// A mount of another container as this one gets it: what is in it stays as it is.
fn inherit(mount: MountRecord, read_only: bool) -> MountRecord {
    MountRecord {
        read_only: mount.read_only || read_only,
        mode: String::new(),
        no_copy: true,
        ..mount
    }
}

/// A bind of a directory around the daemon's own would hold on to the mounts of containers, unless
/// their unmounting reaches into it.
fn around_the_daemon(mount: &mut MountRecord, data_root: &Path) -> Result<(), Invalid> {
    if mount.kind != MountKind::Bind {
        return Ok(());
    }
    let source = Path::new(&mount.source);
    if !data_root.starts_with(source) && !source.starts_with(data_root) {
        return Ok(());
    }
    match mount.propagation.as_str() {
        "" => "rslave".clone_into(&mut mount.propagation),
        "rslave" | "rshared" => {}
        other => {
            return Err(Invalid(format!(
                "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: {:?}, bind mount source: {:?}, propagation: {other:?}",
                data_root.display().to_string(),
                mount.source,
            )));
        }
    }
    Ok(())
}

fn duplicate(target: &str) -> Invalid {
    Invalid(format!("Duplicate mount point: {target}"))
}

fn claim(own: &mut Vec<String>, target: &str) -> Result<(), Invalid> {
    if own.iter().any(|taken| taken == target) {
        return Err(duplicate(target));
    }
    own.push(target.to_owned());
    Ok(())
}

/// The path without empty, `.` and `..` components, as Go's `filepath.Clean` makes it.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::Empty;

    fn host(binds: &[&str]) -> HostConfig {
        let binds = binds.iter().map(ToString::to_string).collect();
        HostConfig { binds: Some(binds), ..HostConfig::default() }
    }

    fn none(_: &str) -> Result<Vec<MountRecord>, Invalid> {
        Ok(Vec::new())
    }

    fn points(host: &HostConfig) -> Result<Points, Invalid> {
        read(&ContainerConfig::default(), host, Path::new("/var/lib/gantry"), none)
    }

    #[test]
    fn binds_become_mounts_and_volumes() {
        let points = points(&host(&["/src/:/dst/./x:ro,rslave", "data:/data:nocopy"])).unwrap();
        let [data, dst] = points.mounts.as_slice() else { panic!("{points:?}") };
        assert_eq!((data.kind, data.no_copy), (MountKind::Volume, true));
        assert_eq!((dst.source.as_str(), dst.target.as_str()), ("/src", "/dst/x"));
        assert_eq!(points.volumes[0].name, "data");
    }

    #[test]
    fn one_destination_has_one_mount() {
        let twice = points(&host(&["/a:/c", "/b:/c"]));
        assert_eq!(twice.unwrap_err().to_string(), "Duplicate mount point: /c");
        let tmpfs = [("/c".to_owned(), String::new())].into();
        let covered = HostConfig { tmpfs, ..host(&["/a:/c"]) };
        assert_eq!(points(&covered).unwrap_err().to_string(), "Duplicate mount point: /c");
    }

    #[test]
    fn binds_around_the_daemon_follow_it() {
        for (bind, want) in [
            ("/:/host", Ok("rslave")),
            ("/var/lib:/host", Ok("rslave")),
            ("/var/lib/gantry/x:/host:rshared", Ok("rshared")),
            ("/var/lib/other:/host", Ok("")),
            ("/:/host:private", Err("must use either propagation mode \"rslave\"")),
        ] {
            match (points(&host(&[bind])), want) {
                (Ok(points), Ok(want)) => assert_eq!(points.mounts[0].propagation, want, "{bind}"),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
                (got, _) => panic!("{bind}: {got:?}"),
            }
        }
    }

    #[test]
    fn image_volumes_are_anonymous_unless_covered() {
        let volumes = ["/one", "/two"].map(|path| (path.to_owned(), Empty)).into();
        let config = ContainerConfig { volumes: Some(volumes), ..ContainerConfig::default() };
        let points = read(&config, &host(&["/x:/two"]), Path::new("/g"), none).unwrap();
        let anonymous: Vec<_> =
            points.mounts.iter().filter(|m| m.anonymous).map(|m| m.target.as_str()).collect();
        assert_eq!(anonymous, ["/one"]);
        assert_eq!(
            (points.volumes[0].name.as_str(), points.volumes[0].target.as_str()),
            ("", "/one")
        );
    }

    #[test]
    fn inherited_mounts_are_not_filled_and_keep_what_they_are() {
        let theirs = MountRecord {
            kind: MountKind::Volume,
            source: "v".into(),
            target: "/v".into(),
            mode: "z".into(),
            anonymous: true,
            ..MountRecord::default()
        };
        let from = HostConfig { volumes_from: Some(vec!["c:ro".into()]), ..HostConfig::default() };
        let got = read(&ContainerConfig::default(), &from, Path::new("/g"), |_| {
            Ok::<_, Invalid>(vec![theirs.clone()])
        });
        let mounts = got.unwrap().mounts;
        let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert!(mount.read_only && mount.no_copy && mount.anonymous && mount.mode.is_empty());
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, want) in
            [("/a//b/./c/", "/a/b/c"), ("/", "/"), ("/../x", "/x"), ("/a/../..", "/")]
        {
            assert_eq!(clean(path), want);
        }
    }
}
