//! What this program calls itself.

use gantry_api::ServerVersion;

/// The program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, when the build knew it.
pub(crate) const COMMIT: &str = match option_env!("GANTRY_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What `--version` prints.
pub(crate) fn line(program: &str) -> String {
    format!("{program} version {VERSION}, build {COMMIT}")
}

/// What `/version` says of this program.
pub(crate) fn server() -> ServerVersion {
    ServerVersion {
        version: VERSION.to_owned(),
        git_commit: COMMIT.to_owned(),
        build_time: option_env!("GANTRY_BUILD_TIME").unwrap_or_default().to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        compiler: env!("GANTRY_COMPILER").to_owned(),
        experimental: false,
    }
}
