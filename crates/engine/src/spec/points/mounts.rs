//! The Mounts API, which `--mount` speaks.

use gantry_api_types::host_config::Mount;

use crate::error::Invalid;
use crate::record::{IdMap, MountKind, MountRecord};

use super::{NewVolume, clean, tmpfs};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Reads one mount, and the volume that it needs.
pub(super) fn parse(mount: &Mount) -> Result<(MountRecord, Option<NewVolume>), Invalid> {
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
    let target = clean(&mount.target);
    if mount.target.starts_with('/') && target == "/" {
        return Err(wrong("invalid specification: destination can't be '/'"));
    }
    if !mount.target.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.target
        )));
    }
    let mut record =
        MountRecord { kind, target, read_only: mount.read_only, ..MountRecord::default() };
    let mut volume = None;
    match kind {
        MountKind::Bind => bind(mount, &mut record, &wrong)?,
        MountKind::Volume => volume = Some(self::volume(mount, &mut record, &wrong)?),
        MountKind::Tmpfs => memory(mount, &mut record, &wrong)?,
    }
    Ok((record, volume))
}

fn bind(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    if mount.source.is_empty() {
        return Err(wrong("field Source must not be empty"));
    }
    if let Some(options) = &mount.bind_options {
        let propagation = options.propagation.as_str();
        if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation) {
            return Err(wrong(&format!("invalid propagation mode: {propagation}")));
        }
        record.propagation.clone_from(&options.propagation);
        record.non_recursive = options.non_recursive;
        record.read_only_non_recursive = options.read_only_non_recursive;
        record.create_source = options.create_mountpoint;
        record.id_map = id_map(&options.id_map, wrong)?;
        if options.read_only_force_recursive {
            force_recursive(mount.read_only, options, wrong)?;
        }
    }
    if mount.volume_options.is_some() {
        return Err(wrong("field VolumeOptions must not be specified"));
    }
    if !mount.source.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    record.source = clean(&mount.source);
    if !record.create_source && !std::path::Path::new(&record.source).exists() {
        return Err(wrong(&format!("bind source path does not exist: {}", mount.source)));
    }
    Ok(())
}

/// A mount that must be read-only all through, or not at all. The kernel can, from 5.12 on.
fn force_recursive(
    read_only: bool,
    options: &gantry_api_types::host_config::BindOptions,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    if !read_only {
        return Err(wrong(
            "option 'ReadOnlyForceRecursive' requires 'ReadOnly' to be specified in conjunction",
        ));
    }
    if options.read_only_non_recursive || options.non_recursive {
        return Err(wrong(
            "option 'ReadOnlyForceRecursive' conflicts with a mount that is not recursive",
        ));
    }
    Ok(())
}

fn id_map(text: &str, wrong: &dyn Fn(&str) -> Invalid) -> Result<Option<IdMap>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let map = IdMap::parse(text);
    map.map(Some).ok_or_else(|| wrong(&format!("invalid id map: {text} (must be UID:GID)")))
}

fn volume(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<NewVolume, Invalid> {
    if mount.bind_options.is_some() {
        return Err(wrong("field BindOptions must not be specified"));
    }
    let mut volume = NewVolume { named: true, ..NewVolume::default() };
    if let Some(options) = &mount.volume_options {
        record.no_copy = options.no_copy;
        if options.subpath.split('/').any(|part| part == "..") || options.subpath.starts_with('/') {
            return Err(wrong("subpath must be a relative path within the volume"));
        }
        record.subpath.clone_from(&options.subpath);
        record.id_map = id_map(&options.id_map, wrong)?;
        volume.labels = (!options.labels.is_empty()).then(|| options.labels.clone());
        if let Some(driver) = &options.driver_config {
            volume.driver.clone_from(&driver.name);
            volume.options = (!driver.options.is_empty()).then(|| driver.options.clone());
        }
    }
    record.anonymous = mount.source.is_empty();
    if record.anonymous && !record.subpath.is_empty() {
        return Err(wrong("must not set Subpath when using anonymous volumes"));
    }
    record.source.clone_from(&mount.source);
    volume.name.clone_from(&record.source);
    volume.target.clone_from(&record.target);
    Ok(volume)
}

fn memory(
    mount: &Mount,
    record: &mut MountRecord,
    wrong: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    if mount.bind_options.is_some() {
        return Err(wrong("field BindOptions must not be specified"));
    }
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
    tmpfs::check(&record.tmpfs_options).map_err(|error| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::host_config::{BindOptions, TmpfsOptions, VolumeOptions};

    #[test]
    fn the_mounts_api_is_strict() {
        let mount = |change: &dyn Fn(&mut Mount)| {
            let mut mount = Mount { target: "/t".into(), ..Mount::default() };
            change(&mut mount);
            parse(&mount).map_err(|error| error.to_string())
        };
        let odd = BindOptions { propagation: "foo".into(), ..BindOptions::default() };
        let bogus = TmpfsOptions { options: vec![vec!["bogus".into()]], ..Default::default() };
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
            (
                mount(&|m| {
                    (m.kind, m.source) = ("bind".into(), "/".into());
                    m.bind_options = Some(odd.clone());
                }),
                "invalid mount config for type \"bind\": invalid propagation mode: foo",
            ),
            (
                mount(&|m| (m.kind, m.tmpfs_options) = ("tmpfs".into(), Some(bogus.clone()))),
                "invalid mount config for type \"tmpfs\": invalid tmpfs option [\"bogus\"]",
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
}
