//! `--on-error=shell`: a shell in the file system that a failed step left.

use gantry_api_types::container::{ContainerConfig, ContainerCreateBody};
use gantry_api_types::host_config::HostConfig;
use gantry_build_proto::Failure as BuildFailure;
use gantry_client::Client;

use super::progress::text;
use crate::app::{Call, Failure};
use crate::container::run;
use crate::output::err;
use crate::term;

/// What is started where the step had no shell of its own.
const SHELL: &str = "/bin/sh";
/// The variable that tells what failed.
const COMMAND_VARIABLE: &str = "FAILED_COMMAND";

/// Runs the shell until it ends. The image of the file system lasts as long as the session.
pub(crate) async fn run(
    call: &Call<'_>,
    client: &Client,
    failure: &BuildFailure,
) -> Result<(), Failure> {
    if !term::stdin_is_terminal() || !term::stdout_is_terminal() {
        err("there is no shell: standard input and output are not a terminal\n");
        return Ok(());
    }
    let shell = shell_of(&failure.command);
    let command = text::safe(&failure.command.join(" "), false);
    err(format!(
        "a shell in what the step left; it failed at ${COMMAND_VARIABLE}:\n    {command}\n"
    ));
    let mut config = ContainerConfig {
        image: failure.kept.clone(),
        entrypoint: Some(vec![shell.to_owned()]),
        env: Some(vec![format!("{COMMAND_VARIABLE}={}", failure.command.join(" "))]),
        ..ContainerConfig::default()
    };
    config.tty = true;
    config.open_stdin = true;
    config.stdin_once = true;
    config.attach_stdin = true;
    config.attach_stdout = true;
    config.attach_stderr = true;
    let host = HostConfig { auto_remove: true, ..HostConfig::default() };
    let body = ContainerCreateBody { config, host_config: Some(host), ..Default::default() };
    run::interactive(call, client, &body).await.map(drop)
}

/// The shell that the step ran in, if it did: `/bin/bash -o pipefail -c …`.
fn shell_of(command: &[String]) -> &str {
    match command {
        [shell, options @ .., _]
            if options.iter().any(|option| option.starts_with('-') && option.ends_with('c')) =>
        {
            shell
        }
        _ => SHELL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_own_shell_is_taken() {
        for (command, want) in [
            (&["/bin/bash", "-o", "pipefail", "-c", "make"][..], "/bin/bash"),
            (&["/bin/sh", "-c", "make"], "/bin/sh"),
            (&["/bin/ash", "-ec", "make"], "/bin/ash"),
            (&["make", "-j", "all"], SHELL),
            (&[], SHELL),
        ] {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(shell_of(&command), want, "{command:?}");
        }
    }
}
