//! `-v`: `source:target[:mode]`, in Docker's grammar and words, with an `idmap` of ours.

use crate::error::Invalid;
use crate::record::{IdMap, MountKind, MountRecord};

use super::clean;

/// Reads `source:target[:options]`.
pub(super) fn parse(text: &str) -> Result<MountRecord, Invalid> {
    let wrong = |why: &str| Invalid(format!("invalid volume specification: '{text}'{why}"));
    let mut parts = text.splitn(3, ':');
    let (source, target) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mode = parts.next();
    // A mode is not for a bare path.
    let bare = mode.is_none() && read_mode(target, &mut MountRecord::default(), &wrong).is_ok();
    let mode = mode.unwrap_or("");
    if source.is_empty() || target.is_empty() || bare || has_a_fourth_part(mode) {
        return Err(wrong(""));
    }
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    let word = if kind == MountKind::Bind { "bind" } else { "volume" };
    let config = |why: &str| wrong(&format!(": invalid mount config for type \"{word}\": {why}"));
    let mut record = MountRecord {
        kind,
        source: if kind == MountKind::Bind { clean(source) } else { source.to_owned() },
        mode: mode.to_owned(),
        create_source: true,
        ..MountRecord::default()
    };
    read_mode(mode, &mut record, &config)?;
    if !target.starts_with('/') {
        let why = format!("invalid mount path: '{target}' mount path must be absolute");
        return Err(config(&why));
    }
    record.target = clean(target);
    if record.target == "/" {
        return Err(config("invalid specification: destination can't be '/'"));
    }
    Ok(record)
}

/// A colon belongs to the two numbers of `idmap=` alone.
fn has_a_fourth_part(mode: &str) -> bool {
    mode.split(',').any(|word| word.contains(':') && !word.starts_with("idmap="))
}

/// Reads the words of a mode: at most one of each kind.
fn read_mode(
    mode: &str,
    record: &mut MountRecord,
    config: &dyn Fn(&str) -> Invalid,
) -> Result<(), Invalid> {
    let invalid = || Invalid(format!("invalid mode: {mode}"));
    let mut seen = Vec::new();
    let mut foreign = None;
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        let kind = match word {
            "ro" | "rw" => "access",
            "z" | "Z" => "label",
            "consistent" | "cached" | "delegated" | "default" => "consistency",
            "nocopy" => "copy",
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => "propagation",
            _ if word.starts_with("idmap=") => "idmap",
            _ => return Err(invalid()),
        };
        if seen.contains(&kind) {
            return Err(invalid());
        }
        seen.push(kind);
        match (kind, record.kind) {
            ("access", _) => record.read_only = word == "ro",
            ("idmap", _) => {
                let ids = word.trim_start_matches("idmap=");
                record.id_map = Some(IdMap::parse(ids).ok_or_else(invalid)?);
            }
            ("copy", MountKind::Volume) => record.no_copy = true,
            ("copy", _) => foreign = Some("VolumeOptions"),
            ("propagation", MountKind::Bind) => word.clone_into(&mut record.propagation),
            ("propagation", _) => foreign = Some("BindOptions"),
            _ => {}
        }
    }
    match foreign {
        Some(field) => Err(config(&format!("field {field} must not be specified"))),
        None => Ok(()),
    }
}

/// Reads the mode of `--volumes-from`: whether it makes read-only.
pub(super) fn inherited_mode(mode: &str) -> Result<bool, Invalid> {
    let mut read_only = false;
    let (mut access, mut label) = (false, false);
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        let seen = match word {
            "ro" | "rw" => &mut access,
            "z" | "Z" => &mut label,
            _ => return Err(Invalid(format!("invalid mode: {mode}"))),
        };
        if std::mem::replace(seen, true) {
            return Err(Invalid(format!("invalid mode: {mode}")));
        }
        read_only |= word == "ro";
    }
    Ok(read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read() {
        let bind = parse("/src/:/dst/./x:ro,rslave,Z").unwrap();
        assert_eq!((bind.source.as_str(), bind.target.as_str()), ("/src", "/dst/x"));
        assert_eq!((bind.read_only, bind.propagation.as_str()), (true, "rslave"));
        let volume = parse("data:/data:nocopy,idmap=1000:1001").unwrap();
        assert_eq!((volume.kind, volume.no_copy), (MountKind::Volume, true));
        assert_eq!(volume.id_map, Some(IdMap { uid: 1000, gid: 1001 }));
        assert_eq!(parse("data:/data:idmap=7").unwrap().id_map, Some(IdMap { uid: 7, gid: 7 }));
    }

    #[test]
    fn bad_binds_get_dockers_words() {
        const TYPE: &str = ": invalid mount config for type";
        for (text, want) in [
            ("/a", "invalid volume specification: '/a'".to_owned()),
            ("/a:ro", "invalid volume specification: '/a:ro'".to_owned()),
            ("/a:/b:c:d", "invalid volume specification: '/a:/b:c:d'".to_owned()),
            ("/a:/b:odd", "invalid mode: odd".to_owned()),
            ("/a:/b:ro,rw", "invalid mode: ro,rw".to_owned()),
            ("/a:/b:idmap=x", "invalid mode: idmap=x".to_owned()),
            (
                "/a:b",
                format!(
                    "invalid volume specification: '/a:b'{TYPE} \"bind\": invalid mount path: 'b' mount path must be absolute"
                ),
            ),
            (
                "/a:/",
                format!(
                    "invalid volume specification: '/a:/'{TYPE} \"bind\": invalid specification: destination can't be '/'"
                ),
            ),
            (
                "xy:/y:rshared",
                format!(
                    "invalid volume specification: 'xy:/y:rshared'{TYPE} \"volume\": field BindOptions must not be specified"
                ),
            ),
            (
                "/x:/y:nocopy",
                format!(
                    "invalid volume specification: '/x:/y:nocopy'{TYPE} \"bind\": field VolumeOptions must not be specified"
                ),
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn inherited_modes_are_few() {
        assert_eq!(inherited_mode("ro,z"), Ok(true));
        assert_eq!(inherited_mode(""), Ok(false));
        for mode in ["nocopy", "rslave", "ro,rw", "foo"] {
            assert!(inherited_mode(mode).is_err(), "{mode}");
        }
    }
}
