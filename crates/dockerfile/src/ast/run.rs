//! `RUN` and other command lines.

use super::{Heredoc, Word};

/// A command: of `RUN`, `CMD`, `ENTRYPOINT` or a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A line for the shell.
    Shell(String),
    /// Program and arguments, as JSON; may be empty.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// What is run, as written: [`Run::script`] brings it together with the heredocs.
    pub command: CommandLine,
    /// Heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, as written. [`Run::mounts`] reads them.
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--security`.
    pub security: Option<Security>,
    /// `--device`, repeated.
    pub devices: Vec<Device>,
}

/// What a `RUN` comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// A text for the shell.
    Shell(String),
    /// Program and arguments.
    Exec(Vec<String>),
    /// A file that names its own interpreter (`#!`): it is put somewhere and run, by the shell.
    File {
        /// Its name.
        name: String,
        /// Its content.
        content: String,
    },
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The build's.
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `--security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// As usual.
    Sandbox,
    /// All privileges.
    Insecure,
}

/// `--device`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// CDI name, or a pattern of one.
    pub name: String,
    /// The step fails without it.
    pub required: bool,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self::Exec(Vec::new())
    }
}
