//! Arguments of the whole file: those that every file knows, and `ARG` before the first `FROM`.

use std::collections::BTreeMap;

use gantry_dockerfile::{Dockerfile, Scope};
use gantry_oci::Platform;

use super::{error::At, outline::Outline, words};

/// What `TARGETSTAGE` is where the last stage is built and has no name.
const DEFAULT_TARGET: &str = "default";

/// The platforms that arguments tell of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Platforms<'p> {
    /// The machine's.
    pub build: &'p Platform,
    /// The result's.
    pub target: &'p Platform,
}

/// What every file knows; the request can set these otherwise.
pub(super) fn known(
    platforms: Platforms<'_>,
    stage: &str,
    given: &BTreeMap<String, String>,
) -> Scope {
    let mut scope = Scope::new();
    let mut set = |name: String, value: &str| {
        let value = given.get(&name).map_or(value, String::as_str);
        scope.insert(name, value.to_owned());
    };
    for (prefix, platform) in [("BUILD", platforms.build), ("TARGET", platforms.target)] {
        set(format!("{prefix}PLATFORM"), &platform.to_string());
        set(format!("{prefix}OS"), &platform.os);
        set(format!("{prefix}OSVERSION"), &platform.os_version);
        set(format!("{prefix}ARCH"), &platform.architecture);
        set(format!("{prefix}VARIANT"), &platform.variant);
    }
    set("TARGETSTAGE".to_owned(), if stage.is_empty() { DEFAULT_TARGET } else { stage });
    scope
}

/// These with the arguments of the file; `given` ones count more than their defaults.
///
/// # Errors
/// When a default is wrong.
pub(super) fn global(
    dockerfile: &Dockerfile,
    mut scope: Scope,
    given: &BTreeMap<String, String>,
    outline: &mut Outline,
) -> Result<Scope, At> {
    for line in &dockerfile.global_args {
        let span = line.written.span;
        for arg in &line.args {
            let (value, needs) = match (given.get(&arg.name), &arg.default) {
                (Some(given), _) => (Some(given.clone()), Default::default()),
                (None, None) => (None, Default::default()),
                (None, Some(default)) => {
                    let value = words::word(default, dockerfile.escape, &scope)
                        .map_err(|at| at.or_at(span))?;
                    (Some(value.text), value.names.used)
                }
            };
            outline.global(arg, value.as_deref().unwrap_or_default(), span, needs);
            if let Some(value) = value {
                scope.insert(arg.name.clone(), value);
            }
        }
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_known() {
        let (build, target) =
            ("linux/amd64".parse().unwrap(), "linux/arm/v7".parse::<Platform>().unwrap());
        let given = BTreeMap::from([("TARGETOS".to_owned(), "plan9".to_owned())]);
        let scope = known(Platforms { build: &build, target: &target }, "", &given);
        for (name, want) in [
            ("BUILDPLATFORM", "linux/amd64"),
            ("BUILDARCH", "amd64"),
            ("BUILDVARIANT", ""),
            ("TARGETPLATFORM", "linux/arm/v7"),
            ("TARGETOS", "plan9"),
            ("TARGETVARIANT", "v7"),
            ("TARGETSTAGE", "default"),
        ] {
            assert_eq!(scope[name], want, "{name}");
        }
    }
}
