//! What can go wrong with a control group.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failed operation on a control group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// `/proc/self/mountinfo` or `/proc/self/cgroup` could not be read.
    #[error("reading {path}")]
    Detect {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No control group file system is mounted.
    #[error("no cgroup file system is mounted")]
    NotMounted,
    /// The path of a group leaves the hierarchy or names its root.
    #[error("invalid cgroup path {0:?}")]
    InvalidPath(String),
    /// A group's directory could not be made.
    #[error("creating cgroup {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A group's directory could not be removed.
    #[error("removing cgroup {path}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of a group could not be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of a group did not take a value.
    #[error("writing {value:?} to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process could not be moved into a group.
    #[error("moving process {pid} into cgroup {path}")]
    Attach {
        /// The process.
        pid: u32,
        /// The group's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process of a group could not be signalled.
    #[error("signalling process {pid} of cgroup {path}")]
    Signal {
        /// The process.
        pid: u32,
        /// The group.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// This host cannot do what was asked for.
    #[error("{setting} is not supported by this host's cgroup {needs}")]
    Unsupported {
        /// The setting, in the words of the OCI runtime specification.
        setting: String,
        /// The controller or file that is missing.
        needs: String,
    },
    /// A setting has a value that cannot be.
    #[error("invalid {setting}: {reason}")]
    Invalid {
        /// The setting, in the words of the OCI runtime specification.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A group did not become frozen or thawed in time.
    #[error("cgroup {path} was not {state} after {waited:?}")]
    Timeout {
        /// The group's directory.
        path: PathBuf,
        /// `frozen`, `thawed` or `empty`.
        state: &'static str,
        /// The limit.
        waited: Duration,
    },
    /// The device filter was refused by the kernel.
    #[error("loading the device filter of cgroup {path}")]
    Devices {
        /// The group's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
