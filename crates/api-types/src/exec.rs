//! Further processes in a running container.

use serde::{Deserialize, Serialize};

use crate::body::{body, lower_body, null_default, one_or_many};

/// Body of `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecCreateBody {
    /// `user[:group]`; empty for the container's.
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// All capabilities.
    #[serde(deserialize_with = "null_default")]
    pub privileged: bool,
    /// Allocate a terminal.
    #[serde(deserialize_with = "null_default")]
    pub tty: bool,
    /// Terminal height and width in cells; from 1.42.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
    /// Attach standard input.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdin: bool,
    /// Attach standard error.
    #[serde(deserialize_with = "null_default")]
    pub attach_stderr: bool,
    /// Attach standard output.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdout: bool,
    /// Run detached; before 1.52 only for display.
    #[serde(deserialize_with = "null_default")]
    pub detach: bool,
    /// Keys that detach, `ctrl-p,ctrl-q`.
    #[serde(deserialize_with = "null_default")]
    pub detach_keys: String,
    /// Further environment.
    #[serde(deserialize_with = "null_default")]
    pub env: Option<Vec<String>>,
    /// Working directory; empty for the container's.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// Program and arguments.
    #[serde(deserialize_with = "one_or_many")]
    pub cmd: Option<Vec<String>>,
}

body! {
    /// Body of `POST /exec/{id}/start`.
    pub struct ExecStartBody {
        /// Do not attach.
        pub detach: bool,
        /// The client expects a terminal's raw stream.
        pub tty: bool,
        /// Terminal height and width in cells; from 1.42.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<[u32; 2]>,
    }

    /// Answer to `GET /exec/{id}/json`.
    pub struct ExecInspect {
        /// Full ID.
        #[serde(rename = "ID")]
        pub id: String,
        /// Has a process.
        pub running: bool,
        /// Exit code; `null` until it has exited.
        pub exit_code: Option<i64>,
        /// Process.
        pub process_config: ExecProcessConfig,
        /// Standard input is open.
        pub open_stdin: bool,
        /// Standard error is open.
        pub open_stderr: bool,
        /// Standard output is open.
        pub open_stdout: bool,
        /// May be forgotten.
        pub can_remove: bool,
        /// Container's ID.
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        /// Keys that detach, base64 of the raw bytes.
        pub detach_keys: String,
        /// PID on the host; 0 before the start.
        pub pid: i64,
    }
}

lower_body! {
    /// Process of an exec, in lower-case names.
    pub struct ExecProcessConfig {
        /// Has a terminal.
        pub tty: bool,
        /// Program.
        pub entrypoint: String,
        /// Its arguments.
        pub arguments: Vec<String>,
        /// All capabilities.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub privileged: Option<bool>,
        /// User as asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub user: Option<String>,
    }
}
