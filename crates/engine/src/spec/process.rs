//! The process part of a specification: arguments, environment, credentials.

use gantry_oci::runtime::{Capabilities, ConsoleSize, Process, Rlimit, User};

use super::mounts::INIT_PATH;
use super::user::Identity;

/// `PATH` of a container that sets none.
pub(crate) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process is made from.
#[derive(Debug)]
pub(crate) struct ProcessInput<'a> {
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<String>,
    /// Working directory; empty is `/`.
    pub(crate) cwd: &'a str,
    /// Who it runs as.
    pub(crate) identity: &'a Identity,
    /// Capabilities.
    pub(crate) caps: Vec<String>,
    /// Terminal.
    pub(crate) tty: bool,
    /// The terminal's size: height, width; zeros for none.
    pub(crate) console: [u32; 2],
    /// Resource limits.
    pub(crate) rlimits: Vec<Rlimit>,
    /// Whether it may not gain privileges.
    pub(crate) no_new_privileges: bool,
    /// AppArmor profile.
    pub(crate) apparmor: Option<String>,
    /// For the first process: how ready the kernel is to kill it.
    pub(crate) oom_score_adj: Option<i32>,
}

/// Builds the process.
pub(crate) fn build(input: ProcessInput<'_>) -> Process {
    let identity = input.identity;
    Process {
        terminal: input.tty,
        console_size: console_size(input.console),
        user: User {
            uid: identity.uid,
            gid: identity.gid,
            umask: None,
            additional_gids: identity.groups.clone(),
        },
        args: input.args,
        env: input.env,
        cwd: if input.cwd.is_empty() { "/".to_owned() } else { input.cwd.to_owned() },
        capabilities: Some(Capabilities {
            bounding: input.caps.clone(),
            effective: input.caps.clone(),
            permitted: input.caps,
            ..Capabilities::default()
        }),
        rlimits: input.rlimits,
        no_new_privileges: input.no_new_privileges,
        apparmor_profile: input.apparmor.filter(|profile| profile != "unconfined"),
        oom_score_adj: input.oom_score_adj,
        ..Process::default()
    }
}

/// A terminal size from height and width; `None` when either is zero.
pub(crate) fn console_size([height, width]: [u32; 2]) -> Option<ConsoleSize> {
    let cells = |n: u32| u16::try_from(n).ok().filter(|n| *n > 0);
    Some(ConsoleSize { height: cells(height)?, width: cells(width)? })
}

/// The arguments of the first process, behind `--init`'s program if there is one.
pub(crate) fn args(path: &str, args: &[String], init: bool) -> Vec<String> {
    let init = init.then_some([INIT_PATH, "--"]).into_iter().flatten();
    init.chain([path]).map(str::to_owned).chain(args.iter().cloned()).collect()
}

/// The environment: Docker's own variables, then the container's, which win; `HOME` last.
pub(crate) fn environment(hostname: &str, tty: bool, own: &[String], home: &str) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    merge(&mut env, own);
    if !env.iter().any(|variable| name(variable) == "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

/// Adds variables: one that is there is replaced in its place, one without a value is removed.
pub(crate) fn merge(env: &mut Vec<String>, more: &[String]) {
    for variable in more {
        let place = env.iter().position(|old| name(old) == name(variable));
        match (place, variable.contains('=')) {
            (Some(place), true) => env[place].clone_from(variable),
            (Some(place), false) => drop(env.remove(place)),
            (None, true) => env.push(variable.clone()),
            (None, false) => {}
        }
    }
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_merged_in_dockers_order() {
        let own = ["A=1".to_owned(), "HOSTNAME=x".into(), "PATH".into(), "A=2".into()];
        assert_eq!(
            environment("h", true, &own, "/root"),
            ["HOSTNAME=x", "TERM=xterm", "A=2", "HOME=/root"]
        );
        assert_eq!(environment("h", false, &["HOME=/h".to_owned()], "/root")[2], "HOME=/h");
    }

    #[test]
    fn init_goes_before_the_program() {
        assert_eq!(args("sh", &["-c".to_owned()], false), ["sh", "-c"]);
        assert_eq!(args("sh", &[], true), ["/sbin/docker-init", "--", "sh"]);
    }

    #[test]
    fn console_sizes() {
        assert_eq!(console_size([0, 80]), None);
        assert_eq!(console_size([70_000, 80]), None);
        assert_eq!(console_size([24, 80]), Some(ConsoleSize { height: 24, width: 80 }));
    }
}
