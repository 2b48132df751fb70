//! `--mount`, `-v` and `--tmpfs`.

use std::path::Path;

use gantry_api_types::host_config::{BindOptions, Mount, MountDriver, TmpfsOptions, VolumeOptions};

use crate::values;

const BINDS: &str = "bind";

/// Parses `--mount`, a line of comma-separated keys and values.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { kind: "volume".into(), ..Mount::default() };
    let (mut read_only_mode, mut id_map) = (String::new(), String::new());
    for field in values::csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        let Some(value) = value.or_else(|| bare(&key)) else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        let value_bool =
            || values::go_bool(value).map_err(|_| format!("invalid value for {key}: {value}"));
        match key.as_str() {
            "type" => mount.kind = value.to_lowercase(),
            "source" | "src" => mount.source = absolute_if_relative(value),
            "target" | "dst" | "destination" => mount.target = value.to_owned(),
            "readonly" | "ro" => mount.read_only = value_bool()?,
            "consistency" => mount.consistency = value.to_lowercase(),
            "bind-recursive" => read_only_mode = value.to_owned(),
            "idmap" => value.clone_into(&mut id_map),
            _ => option(&mut mount, &key, value, &field, value_bool)?,
        }
    }
    if !read_only_mode.is_empty() {
        bind_recursive(&mut mount, &read_only_mode)?;
    }
    match (id_map.as_str(), mount.kind.as_str()) {
        ("", _) => {}
        (_, BINDS) => binds(&mut mount).id_map = id_map,
        (_, "volume") => volumes(&mut mount).id_map = id_map,
        (_, kind) => return Err(format!("cannot mix 'idmap' with mount type '{kind}'")),
    }
    check(&mount)?;
    Ok(mount)
}

/// Keys that may stand without a value.
fn bare(key: &str) -> Option<&'static str> {
    matches!(key, "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src")
        .then_some("true")
}

/// Only `.` and what begins with `./` or `../` is a path; other names may be volumes.
fn absolute_if_relative(source: &str) -> String {
    match source == "." || source.starts_with("./") || source.starts_with("../") {
        true => absolute(source),
        false => source.to_owned(),
    }
}

fn absolute(path: &str) -> String {
    let base = std::env::current_dir().unwrap_or_default();
    clean(&base.join(path))
}

/// Go's `filepath.Clean` of an absolute path.
pub(crate) fn clean(path: &Path) -> String {
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    let joined: Vec<_> = parts.iter().map(|part| part.to_string_lossy()).collect();
    format!("/{}", joined.join("/"))
}

fn option(
    mount: &mut Mount,
    key: &str,
    value: &str,
    field: &str,
    value_bool: impl Fn() -> Result<bool, String>,
) -> Result<(), String> {
    let pair = || {
        let (name, value) = value.split_once('=').unwrap_or((value, ""));
        (name.to_owned(), value.to_owned())
    };
    match key {
        "bind-propagation" => binds(mount).propagation = value.to_lowercase(),
        "bind-nonrecursive" => binds(mount).non_recursive = value_bool()?,
        "bind-create-src" => binds(mount).create_mountpoint = value_bool()?,
        "volume-subpath" => volumes(mount).subpath = value.to_owned(),
        "volume-nocopy" => {
            volumes(mount).no_copy = values::go_bool(value)
                .map_err(|_| format!("invalid value for volume-nocopy: {value}"))?;
        }
        "volume-label" => {
            volumes(mount).labels.extend([pair()]);
        }
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" => {
            driver(mount).options.extend([pair()]);
        }
        "image-subpath" => {
            mount.image_options.get_or_insert_default().subpath = value.to_owned();
        }
        "tmpfs-size" => {
            let size =
                values::bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
            tmpfs(mount).size_bytes = size;
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8)
                .map_err(|_| format!("invalid value for {key}: {value}"))?;
            tmpfs(mount).mode = mode;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn binds(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volumes(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountDriver {
    volumes(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn bind_recursive(mount: &mut Mount, mode: &str) -> Result<(), String> {
    match mode {
        "enabled" => {}
        "disabled" => binds(mount).non_recursive = true,
        "writable" => binds(mount).read_only_non_recursive = true,
        "readonly" => {
            let fits = mount.read_only
                && mount.bind_options.as_ref().is_some_and(|b| b.propagation == "rprivate");
            if !mount.read_only {
                return Err("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction".into());
            }
            if !fits {
                return Err("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction".into());
            }
            binds(mount).read_only_force_recursive = true;
        }
        other => {
            return Err(format!(
                "invalid value for bind-recursive: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".into());
    }
    if mount.target.is_empty() {
        return Err("target is required".into());
    }
    let mixed =
        |name: &str| Err(format!("cannot mix '{name}-*' options with mount type '{}'", mount.kind));
    match mount.kind.as_str() {
        kind if mount.volume_options.is_some() && kind != "volume" => mixed("volume"),
        kind if mount.bind_options.is_some() && kind != BINDS => mixed("bind"),
        kind if mount.tmpfs_options.is_some() && kind != "tmpfs" => mixed("tmpfs"),
        kind if mount.image_options.is_some() && kind != "image" => mixed("image"),
        _ => Ok(()),
    }
}

/// Sorts `-v` into binds and anonymous volumes: a bind, or the path of a volume.
pub(crate) fn volume(text: &str) -> Result<Volume, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [""] => Err("invalid spec: : empty section between colons".into()),
        [path] => Ok(Volume::Anonymous((*path).to_owned())),
        all if all.iter().any(|part| part.is_empty()) => {
            Err(format!("invalid spec: {text}: empty section between colons"))
        }
        [source, rest @ ..] => {
            let relative = *source == "." || source.starts_with("./") || source.starts_with("../");
            let home =
                source.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let source = match home {
                Some(rest) => format!("{}{rest}", std::env::var("HOME").unwrap_or_default()),
                None if relative => absolute(source),
                None => (*source).to_owned(),
            };
            Ok(Volume::Bind(format!("{source}:{}", rest.join(":"))))
        }
        [] => Err("invalid empty volume spec".into()),
    }
}

/// One `-v`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    Bind(String),
    Anonymous(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bad_mounts() {
        for (text, want) in [
            ("foo", "invalid field 'foo' must be a key=value pair"),
            ("type=bind", "target is required"),
            ("type=volume,target=x,foo=1", "unexpected key 'foo' in 'foo=1'"),
            (
                "type=bind,source=/a,target=/b,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn id_maps_go_with_their_kind() {
        let bind = mount("type=bind,src=/a,dst=/b,idmap=1000:1001").unwrap();
        assert_eq!(bind.bind_options.unwrap().id_map, "1000:1001");
        let volume = mount("src=v,dst=/b,idmap=1000").unwrap();
        assert_eq!(volume.volume_options.unwrap().id_map, "1000");
        let refused = mount("type=tmpfs,dst=/b,idmap=1").unwrap_err();
        assert_eq!(refused, "cannot mix 'idmap' with mount type 'tmpfs'");
        let text = "v:/a:idmap=1:2";
        assert_eq!(super::volume(text), Ok(Volume::Bind(text.into())));
    }

    #[test]
    fn sorts_volumes() {
        assert_eq!(volume("/a"), Ok(Volume::Anonymous("/a".into())));
        assert_eq!(volume("v:/a:ro"), Ok(Volume::Bind("v:/a:ro".into())));
        assert!(volume("a::b").is_err());
        assert_eq!(clean(Path::new("/a/./b/../c")), "/a/c");
    }
}
