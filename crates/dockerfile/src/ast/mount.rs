//! `RUN --mount`.

/// A mount, variables expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub mount_type: MountType,
    /// `from`: stage, named context or image; empty for the build context, or for none.
    pub from: String,
    /// `source`; empty for all of it.
    pub source: String,
    /// `target`; empty if it is not said, which secrets and agents allow.
    pub target: String,
    /// Not to be written to. Binds are so unless `rw` is said.
    pub read_only: bool,
    /// `id`.
    pub id: Option<String>,
    /// `sharing`.
    pub sharing: Option<Sharing>,
    /// `required`.
    pub required: bool,
    /// `size`, bytes.
    pub size_bytes: Option<u64>,
    /// `mode`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `env` of a secret: the variable that gets it.
    pub env: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountType {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that stays from build to build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret of the client's.
    Secret,
    /// The client's SSH agent.
    Ssh,
}

/// Who may use a cache directory at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each at once gets one of its own.
    Private,
    /// One after the other.
    Locked,
}
