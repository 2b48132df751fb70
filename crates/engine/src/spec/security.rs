//! `HostConfig.SecurityOpt`.

use crate::error::Invalid;

/// Which system call filter a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SeccompChoice {
    /// The daemon's: Docker's profile unless it was given another.
    #[default]
    Default,
    /// Docker's profile, whatever the daemon was given.
    Builtin,
    /// None.
    Unconfined,
    /// A profile as JSON.
    Profile(String),
}

/// Options read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SecurityOptions {
    /// System call filter.
    pub(crate) seccomp: SeccompChoice,
    /// `no-new-privileges`; absent is the daemon's default.
    pub(crate) no_new_privileges: Option<bool>,
    /// AppArmor profile.
    pub(crate) apparmor: Option<String>,
    /// Mount control groups with write access.
    pub(crate) writable_cgroups: bool,
}

/// Reads the options. SELinux labels are taken and have no effect, as in Docker without SELinux.
///
/// # Errors
/// Docker's words for an option that is none.
pub(crate) fn parse(options: &[String]) -> Result<SecurityOptions, Invalid> {
    let mut read = SecurityOptions::default();
    for option in options {
        if option == "no-new-privileges" {
            read.no_new_privileges = Some(true);
            continue;
        }
        if option == "disable" {
            continue;
        }
        // The colon is the form of Docker before 1.11; JSON has colons too, so `=` comes first.
        let (key, value) = option
            .split_once('=')
            .filter(|(key, _)| !key.contains(':'))
            .or_else(|| option.split_once(':'))
            .ok_or_else(|| Invalid(format!("invalid --security-opt 1: {option:?}")))?;
        match key {
            "label" => {}
            "apparmor" => read.apparmor = Some(value.to_owned()),
            "seccomp" => {
                read.seccomp = match value {
                    "unconfined" => SeccompChoice::Unconfined,
                    "builtin" => SeccompChoice::Builtin,
                    json => SeccompChoice::Profile(json.to_owned()),
                }
            }
            "no-new-privileges" => read.no_new_privileges = Some(truth(value, option)?),
            "writable-cgroups" => read.writable_cgroups = truth(value, option)?,
            _ => return Err(Invalid(format!("invalid --security-opt 2: {option:?}"))),
        }
    }
    Ok(read)
}

fn truth(value: &str, option: &str) -> Result<bool, Invalid> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Invalid(format!("invalid --security-opt 2: {option:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = |option: &str| parse(&[option.to_owned()]);
        for (option, want) in [
            (
                "no-new-privileges",
                SecurityOptions { no_new_privileges: Some(true), ..Default::default() },
            ),
            (
                "no-new-privileges:false",
                SecurityOptions { no_new_privileges: Some(false), ..Default::default() },
            ),
            (
                "seccomp=unconfined",
                SecurityOptions { seccomp: SeccompChoice::Unconfined, ..Default::default() },
            ),
            (
                "seccomp:{\"a\":1}",
                SecurityOptions {
                    seccomp: SeccompChoice::Profile("{\"a\":1}".into()),
                    ..Default::default()
                },
            ),
            ("label=disable", SecurityOptions::default()),
        ] {
            assert_eq!(read(option), Ok(want), "{option}");
        }
        for (option, want) in [
            ("odd", "invalid --security-opt 1: \"odd\""),
            ("odd=1", "invalid --security-opt 2: \"odd=1\""),
            (
                "no-new-privileges=perhaps",
                "invalid --security-opt 2: \"no-new-privileges=perhaps\"",
            ),
        ] {
            assert_eq!(read(option).unwrap_err().to_string(), want);
        }
    }
}
