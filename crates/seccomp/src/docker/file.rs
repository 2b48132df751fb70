//! Docker's profile files: `--security-opt seccomp=FILE`.

use gantry_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use serde::Deserialize;

use crate::SeccompError;

/// The file. Go writes `null` for an empty list, hence the options.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    flags: Option<Vec<String>>,
    listener_path: Option<std::path::PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Architecture {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    name: String,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Option<SeccompArg>>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

/// When a rule applies.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile file, for a container with these capabilities on a kernel (major, minor).
///
/// A file without default action and rules switches the filter off, as in Docker: the result then
/// allows everything.
///
/// # Errors
/// [`SeccompError::Json`] for what is no profile, [`SeccompError::Conflict`] for one that says the
/// same thing in two ways.
pub fn from_docker_json(
    json: &str,
    caps: &[String],
    kernel: (u32, u32),
) -> Result<Seccomp, SeccompError> {
    let file: File = serde_json::from_str(json).map_err(|e| SeccompError::Json(e.to_string()))?;
    let rules = file.syscalls.unwrap_or_default();
    if file.default_action.is_empty() && rules.is_empty() {
        let default_action = "SCMP_ACT_ALLOW".to_owned();
        return Ok(Seccomp { default_action, ..Seccomp::default() });
    }
    let mut architectures = file.architectures.unwrap_or_default();
    let map = file.arch_map.unwrap_or_default();
    if !architectures.is_empty() && !map.is_empty() {
        return Err(SeccompError::Conflict(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, \
             use either 'architectures' or 'archMap'",
        ));
    }
    let native = map.into_iter().find(|one| one.architecture == native().1);
    if let Some(Architecture { architecture, sub_architectures }) = native {
        architectures.push(architecture);
        architectures.extend(sub_architectures.unwrap_or_default());
    }
    let mut syscalls = Vec::with_capacity(rules.len());
    for rule in rules {
        if let Some(rule) = resolve(rule, caps, kernel)? {
            syscalls.push(rule);
        }
    }
    Ok(Seccomp {
        default_action: file.default_action,
        default_errno_ret: file.default_errno_ret,
        architectures,
        flags: file.flags.unwrap_or_default(),
        listener_path: file.listener_path,
        listener_metadata: file.listener_metadata,
        syscalls,
    })
}

/// The rule without its conditions, or nothing where they do not hold.
fn resolve(
    rule: Rule,
    caps: &[String],
    kernel: (u32, u32),
) -> Result<Option<SeccompRule>, SeccompError> {
    let mut names = rule.names.unwrap_or_default();
    if !rule.name.is_empty() {
        if !names.is_empty() {
            return Err(SeccompError::Conflict(
                "both 'name' and 'names' are specified in the seccomp profile, \
                 use either 'name' or 'names'",
            ));
        }
        names.push(rule.name);
    }
    let has = |cap: &String| caps.contains(cap);
    let here = |arch: &String| arch == native().0;
    if let Some(Filter { caps, arches, min_kernel }) = rule.excludes {
        let reached = min_kernel.map(|least| at_least(kernel, &least)).transpose()?;
        if caps.is_some_and(|caps| caps.iter().any(has))
            || arches.is_some_and(|arches| arches.iter().any(here))
            || reached == Some(true)
        {
            return Ok(None);
        }
    }
    if let Some(Filter { caps, arches, min_kernel }) = rule.includes {
        let reached = min_kernel.map(|least| at_least(kernel, &least)).transpose()?;
        if !caps.is_none_or(|caps| caps.iter().all(has))
            || !arches.is_none_or(|arches| arches.is_empty() || arches.iter().any(here))
            || reached == Some(false)
        {
            return Ok(None);
        }
    }
    let args = rule.args.unwrap_or_default().into_iter().flatten().collect();
    Ok(Some(SeccompRule { names, action: rule.action, errno_ret: rule.errno_ret, args }))
}

/// This machine as Docker's files name it in rules, and in `archMap`.
fn native() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("arm64", "SCMP_ARCH_AARCH64"),
        _ => ("amd64", "SCMP_ARCH_X86_64"),
    }
}

/// Whether the kernel is at least `MAJOR.MINOR`.
fn at_least(kernel: (u32, u32), least: &str) -> Result<bool, SeccompError> {
    let version = least
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    match version {
        Some(version) if version != (0, 0) => Ok(kernel >= version),
        _ => Err(SeccompError::Json(format!(
            "invalid kernel version: {least:?}, expected \"<kernel>.<major>\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, caps: &[&str]) -> Result<Seccomp, SeccompError> {
        let caps: Vec<String> = caps.iter().map(|&cap| cap.to_owned()).collect();
        from_docker_json(json, &caps, (5, 10))
    }

    #[test]
    fn rules_apply_by_capability_architecture_and_kernel() {
        let cases = [
            (r#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#, false),
            (r#""includes": {"caps": ["CAP_CHOWN"]}"#, true),
            (r#""includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}"#, false),
            (r#""excludes": {"caps": ["CAP_CHOWN"]}"#, false),
            (r#""excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}"#, true),
            (r#""includes": {"arches": ["s390x"]}"#, false),
            (r#""includes": {"arches": ["amd64", "arm64"]}"#, true),
            (r#""includes": {"minKernel": "4.8"}"#, true),
            (r#""includes": {"minKernel": "5.11"}"#, false),
            (r#""excludes": {"minKernel": "5.10"}"#, false),
            (r#""includes": {}, "excludes": null"#, true),
        ];
        for (conditions, want) in cases {
            let json = format!(
                r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {{"names": ["read"], "action": "SCMP_ACT_ALLOW", {conditions}}}]}}"#
            );
            let got = read(&json, &["CAP_CHOWN"]).unwrap();
            assert_eq!(!got.syscalls.is_empty(), want, "{conditions}");
        }
    }

    #[test]
    fn the_rest_of_a_file_is_taken_over() {
        let json = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"name": "socket", "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
                          "comment": "x", "args": [{"index": 0, "value": 17, "op": "SCMP_CMP_EQ"}]},
                         {"names": null, "name": "pipe", "action": "SCMP_ACT_LOG", "args": null}]}"#;
        let got = read(json, &[]).unwrap();
        assert_eq!(got.default_errno_ret, Some(38));
        if cfg!(target_arch = "x86_64") {
            assert_eq!(got.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        }
        assert_eq!(got.flags, ["SECCOMP_FILTER_FLAG_LOG"]);
        assert_eq!(got.syscalls[0].errno_ret, Some(97));
        assert_eq!(got.syscalls[0].args[0].value, 17);
        assert_eq!(got.syscalls[1].names, ["pipe"]);
    }

    #[test]
    fn bad_files_are_refused_with_dockers_words() {
        for (json, want) in [
            ("{", "Decoding seccomp profile failed: "),
            (r#"{"defaultAction": 1}"#, "Decoding seccomp profile failed: "),
            (
                r#"{"defaultAction": "a", "architectures": ["x"], "archMap": [{}]}"#,
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use",
            ),
            (
                r#"{"syscalls": [{"name": "a", "names": ["b"]}]}"#,
                "both 'name' and 'names' are specified in the seccomp profile, use",
            ),
            (
                r#"{"syscalls": [{"name": "a", "includes": {"minKernel": "4"}}]}"#,
                "Decoding seccomp profile failed: invalid kernel version",
            ),
        ] {
            let got = read(json, &[]).unwrap_err().to_string();
            assert!(got.starts_with(want), "{json}: {got}");
        }
        assert_eq!(read("{}", &[]).unwrap().default_action, "SCMP_ACT_ALLOW");
    }
}
