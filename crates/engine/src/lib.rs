//! Containers: life cycle, exec, health, restart, events.
//!
//! A tour: [`Engine`] holds every container by id and name. A [`Container`] is a handle; the
//! container itself is owned by one task, its driver (`container::driver`), which takes commands
//! from an inbox and tells what happened through a watch. [`Engine::create`] makes one,
//! `spec` turns its record into an OCI specification (pure), `container::start` brings it up
//! step by step with the release of each beside it, `recover` finds again what an earlier daemon
//! left. The engine knows no HTTP: its bodies are those of the newest API version, and every
//! error says its [`gantry_fault::Kind`] and Docker's words.
//!
//! ```text
//! <data_root>/containers/<id>/    0710   resolv.conf hosts hostname <id>-json.log
//! <exec_root>/seccomp/            0700   compiled filters, one file a profile and capability set
//! store: containers, container_states
//! ```

#![forbid(unsafe_code)]

pub mod config;
pub mod container;
mod create;
mod engine;
mod error;
pub mod events;
pub mod exec;
pub mod files;
mod identity;
mod launch;
mod list;
pub mod names;
mod net;
mod networks;
pub mod observe;
mod record;
mod recover;
mod registry;
mod seccomp_cache;
mod spec;
pub mod step;
pub mod system;

pub use config::{BUILT_IN_RUNTIME, EngineConfig, Parts};
pub use container::attach::{AttachOptions, Attached, DetachScanner, parse_detach_keys};
pub use container::logs::{LogChunk, LogOptions, LogStream};
pub use container::wait::WaitCondition;
pub use container::{Container, RemoveOptions};
pub use create::CreateRequest;
pub use engine::Engine;
pub use error::{
    AttachError, ChangeError, CreateError, ExecError, FileError, Invalid, LookupError,
    NetworkFault, ObserveError, QueryError, RecoverError, RemoveError, StartError, SystemError,
};
pub use events::{EventStream, Events};
pub use exec::{Exec, ExecAttached, ExecStart};
pub use files::archive::{ArchiveDownload, ArchivePutOptions};
pub use files::commit::CommitOptions;
pub use list::ListOptions;
pub use observe::stats::StatsStream;
pub use step::{StepEnd, StepError, StepMount, StepOutput, StepRequest, StepSource, StepStream};
pub use system::disk_usage::DiskUsageKinds;

/// Bytes that come over time, such as an archive.
pub type ByteStream =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>;
