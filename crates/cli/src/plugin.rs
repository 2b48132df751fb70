//! Docker's command line plugins, such as compose: programs named `docker-NAME`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

/// Where plugins lie besides the user's own directory, first come first served.
const DIRECTORIES: &[&str] = &[
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The plugin for a command, if there is one.
pub(crate) fn find(config: &Path, name: &str) -> Option<PathBuf> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let file = format!("docker-{name}");
    let own = config.join("cli-plugins");
    std::iter::once(own)
        .chain(DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(&file))
        .find(|path| path.is_file())
}

/// Becomes the plugin; returns only if that fails, with the reason.
///
/// It is given the whole command line, as it reads the same global flags.
pub(crate) fn become_it(path: &Path, args: &[String]) -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let error = std::process::Command::new(path)
        .args(args)
        .env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", program)
        .exec();
    format!("{}: {}", path.display(), crate::container::reason(&error))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn names_do_not_lead_elsewhere() {
        let directory = tempfile::tempdir().expect("directory");
        let plugins = directory.path().join("cli-plugins");
        std::fs::create_dir(&plugins).expect("plugins");
        std::fs::write(plugins.join("docker-gantrytest"), "").expect("plugin");
        assert!(find(directory.path(), "gantrytest").is_some());
        assert!(find(directory.path(), "../cli-plugins/docker-gantrytest").is_none());
    }
}
