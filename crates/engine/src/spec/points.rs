//! Which mounts a container asks for: `--volumes-from`, `-v`, `--mount`, and the image's volumes,
//! the later over the earlier, one a destination.

use std::collections::BTreeMap;

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::{HostConfig, Mount};
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

/// Reads all mounts. `inherited` gives the mounts of a container named in `VolumesFrom`.
///
/// # Errors
/// Docker's words for a specification that cannot be.
pub(crate) fn read<E: From<Invalid>>(
    config: &ContainerConfig,
    host: &HostConfig,
    mut inherited: impl FnMut(&str) -> Result<Vec<MountRecord>, E>,
) -> Result<Points, E> {
    let mut by_target: BTreeMap<String, MountRecord> = BTreeMap::new();
    let mut points = Points::default();
    for from in host.volumes_from.items() {
        let (name, mode) = from.split_once(':').unwrap_or((from, ""));
        let read_only = match mode {
            "" | "rw" | "z" | "Z" => false,
            "ro" => true,
            other => return Err(Invalid(format!("invalid mode: {other}")).into()),
        };
        for mut mount in inherited(name)? {
            mount.read_only |= read_only;
            // What another container brought goes with that one.
            mount.anonymous = false;
            by_target.insert(mount.target.clone(), mount);
        }
    }
    let mut own: Vec<String> = Vec::new();
    for text in host.binds.items() {
        let mount = parse_bind(text)?;
        if mount.kind == MountKind::Volume {
            let driver = host.volume_driver.clone();
            points.volumes.push(NewVolume {
                name: mount.source.clone(),
                target: mount.target.clone(),
                driver,
                ..Default::default()
            });
        }
        claim(&mut own, &mount.target)?;
        by_target.insert(mount.target.clone(), mount);
    }
    for mount in &host.mounts {
        let (record, volume) = parse_mount(mount)?;
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
        by_target.insert(
            target.clone(),
            MountRecord {
                kind: MountKind::Volume,
                target,
                anonymous: true,
                ..MountRecord::default()
            },
        );
    }
    points.mounts = by_target.into_values().collect();
    Ok(points)
}

fn claim(own: &mut Vec<String>, target: &str) -> Result<(), Invalid> {
    if own.iter().any(|taken| taken == target) {
        return Err(Invalid(format!("Duplicate mount point: {target}")));
    }
    own.push(target.to_owned());
    Ok(())
}

/// Reads `source:target[:options]`.
fn parse_bind(text: &str) -> Result<MountRecord, Invalid> {
    let wrong = || Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match *parts.as_slice() {
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(wrong()),
    };
    if source.is_empty() || target.is_empty() {
        return Err(wrong());
    }
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    if kind == MountKind::Volume && !is_volume_name(source) {
        return Err(Invalid(format!(
            "create {source}: \"{source}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    let mut record = MountRecord {
        kind,
        source: if kind == MountKind::Bind { clean(source) } else { source.to_owned() },
        target: target_of(target, text)?,
        mode: mode.to_owned(),
        create_source: true,
        ..MountRecord::default()
    };
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => record.read_only = true,
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "default" => {}
            "nocopy" if kind == MountKind::Volume => record.no_copy = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave"
                if kind == MountKind::Bind =>
            {
                option.clone_into(&mut record.propagation);
            }
            _ => return Err(Invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok(record)
}

fn parse_mount(mount: &Mount) -> Result<(MountRecord, Option<NewVolume>), Invalid> {
    let kind = match mount.kind.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "image" | "cluster" => {
            return Err(Invalid(format!("mount type {:?} is not implemented", mount.kind)));
        }
        other => {
            return Err(Invalid(format!(
                "invalid mount config for type {other:?}: mount type unknown"
            )));
        }
    };
    let wrong =
        |why: &str| Invalid(format!("invalid mount config for type {:?}: {why}", mount.kind));
    if mount.target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    if !mount.target.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.target
        )));
    }
    let target = clean(&mount.target);
    if target == "/" {
        return Err(wrong("invalid specification: destination can't be '/'"));
    }
    let mut record =
        MountRecord { kind, target, read_only: mount.read_only, ..MountRecord::default() };
    let mut volume = None;
    match kind {
        MountKind::Bind => bind_options(mount, &mut record, &wrong)?,
        MountKind::Volume => volume = Some(volume_options(mount, &mut record, &wrong)?),
        MountKind::Tmpfs => tmpfs_options(mount, &mut record, &wrong)?,
    }
    Ok((record, volume))
}

fn bind_options(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    if mount.source.is_empty() {
        return Err(wrong("field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    if mount.volume_options.is_some() {
        return Err(wrong("field VolumeOptions must not be specified"));
    }
    record.source = clean(&mount.source);
    if let Some(options) = &mount.bind_options {
        record.propagation.clone_from(&options.propagation);
        record.non_recursive = options.non_recursive;
        record.read_only_non_recursive = options.read_only_non_recursive;
        record.create_source = options.create_mountpoint;
    }
    if !record.create_source && !std::path::Path::new(&record.source).exists() {
        return Err(wrong(&format!("bind source path does not exist: {}", mount.source)));
    }
    Ok(())
}

fn volume_options(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<NewVolume, Invalid> {
    if mount.bind_options.is_some() {
        return Err(wrong("field BindOptions must not be specified"));
    }
    let mut volume = NewVolume::default();
    if let Some(options) = &mount.volume_options {
        record.no_copy = options.no_copy;
        if options.subpath.split('/').any(|part| part == "..") || options.subpath.starts_with('/') {
            return Err(wrong("subpath must be a relative path within the volume"));
        }
        record.subpath.clone_from(&options.subpath);
        volume.labels = (!options.labels.is_empty()).then(|| options.labels.clone());
        if let Some(driver) = &options.driver_config {
            volume.driver.clone_from(&driver.name);
            volume.options = (!driver.options.is_empty()).then(|| driver.options.clone());
        }
    }
    record.anonymous = mount.source.is_empty();
    if record.anonymous {
        if !record.subpath.is_empty() {
            return Err(wrong("must not set Subpath when using anonymous volumes"));
        }
    } else if is_volume_name(&mount.source) {
        record.source.clone_from(&mount.source);
    } else {
        return Err(wrong(&format!("invalid volume name: {:?}", mount.source)));
    }
    volume.name.clone_from(&record.source);
    volume.target.clone_from(&record.target);
    Ok(volume)
}

fn tmpfs_options(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    if !mount.source.is_empty() {
        return Err(wrong("field Source must not be specified"));
    }
    let Some(options) = &mount.tmpfs_options else { return Ok(()) };
    if options.size_bytes > 0 {
        record.tmpfs_options.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        record.tmpfs_options.push(format!("mode={:o}", options.mode));
    }
    for option in &options.options {
        match option.as_slice() {
            [name] => record.tmpfs_options.push(name.clone()),
            [name, value] => record.tmpfs_options.push(format!("{name}={value}")),
            _ => return Err(wrong("invalid option array length")),
        }
    }
    Ok(())
}

fn target_of(target: &str, text: &str) -> Result<String, Invalid> {
    if !target.starts_with('/') {
        return Err(Invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"bind\": invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    match clean(target).as_str() {
        "/" => Err(Invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"
        ))),
        path => Ok(path.to_owned()),
    }
}

fn is_volume_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
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
    use gantry_api_types::host_config::VolumeOptions;

    fn host(binds: &[&str]) -> HostConfig {
        let binds = binds.iter().map(ToString::to_string).collect();
        HostConfig { binds: Some(binds), ..HostConfig::default() }
    }

    fn none(_: &str) -> Result<Vec<MountRecord>, Invalid> {
        Ok(Vec::new())
    }

    #[test]
    fn binds_are_read() {
        let points = read(
            &ContainerConfig::default(),
            &host(&["/src/:/dst/./x:ro,rslave", "data:/data:nocopy"]),
            none,
        )
        .unwrap();
        let [data, dst] = points.mounts.as_slice() else { panic!("{points:?}") };
        assert_eq!((data.kind, data.no_copy), (MountKind::Volume, true));
        assert_eq!((dst.source.as_str(), dst.target.as_str()), ("/src", "/dst/x"));
        assert_eq!((dst.read_only, dst.propagation.as_str()), (true, "rslave"));
        assert_eq!(points.volumes[0].name, "data");
    }

    #[test]
    fn bad_binds_get_dockers_words() {
        for (bind, want) in [
            ("/a", "invalid volume specification: '/a'"),
            ("/a:/b:c:d", "invalid volume specification: '/a:/b:c:d'"),
            ("/a:/b:odd", "invalid mode: odd"),
            ("/a:b", "mount path must be absolute"),
            ("/a:/", "destination can't be '/'"),
            ("xy:/y:rshared", "invalid mode: rshared"),
            ("../x:/y", "includes invalid characters for a local volume name"),
        ] {
            let error = read(&ContainerConfig::default(), &host(&[bind]), none).unwrap_err();
            assert!(error.to_string().contains(want), "{bind}: {error}");
        }
        let twice = read(&ContainerConfig::default(), &host(&["/a:/c", "/b:/c"]), none);
        assert_eq!(twice.unwrap_err().to_string(), "Duplicate mount point: /c");
    }

    #[test]
    fn image_volumes_are_anonymous_unless_covered() {
        let volumes = ["/one", "/two"].map(|path| (path.to_owned(), Empty)).into();
        let config = ContainerConfig { volumes: Some(volumes), ..ContainerConfig::default() };
        let points = read(&config, &host(&["/x:/two"]), none).unwrap();
        let anonymous: Vec<_> =
            points.mounts.iter().filter(|m| m.anonymous).map(|m| m.target.as_str()).collect();
        assert_eq!(anonymous, ["/one"]);
        assert_eq!(
            (points.volumes[0].name.as_str(), points.volumes[0].target.as_str()),
            ("", "/one")
        );
    }

    #[test]
    fn mounts_api_is_strict() {
        let mount = |change: &dyn Fn(&mut Mount)| {
            let mut mount = Mount { target: "/t".into(), ..Mount::default() };
            change(&mut mount);
            parse_mount(&mount).map_err(|error| error.to_string())
        };
        for (got, want) in [
            (
                mount(&|m| (m.kind, m.source) = ("bind".into(), "/does/not/exist".into())),
                "invalid mount config for type \"bind\": bind source path does not exist: /does/not/exist",
            ),
            (
                mount(&|m| m.kind = "odd".into()),
                "invalid mount config for type \"odd\": mount type unknown",
            ),
            (
                mount(&|m| m.kind = "bind".into()),
                "invalid mount config for type \"bind\": field Source must not be empty",
            ),
            (
                mount(&|m| (m.kind, m.source) = ("tmpfs".into(), "/x".into())),
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
        ] {
            assert_eq!(got.unwrap_err(), want);
        }
        let labels = [("a".to_owned(), "b".to_owned())].into();
        let options = VolumeOptions { labels, no_copy: true, ..Default::default() };
        let got = mount(&|m| {
            m.kind = "volume".into();
            m.source = "vol".into();
            m.volume_options = Some(options.clone());
        });
        let (record, volume) = got.unwrap();
        assert!(record.no_copy && !record.anonymous);
        assert_eq!(volume.unwrap().labels.unwrap().len(), 1);
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
