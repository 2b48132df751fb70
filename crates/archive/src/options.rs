//! Options of extraction.

/// How whiteouts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An image layer: `.wh.` entries become overlayfs' whiteouts and opaque directories.
    Layer,
    /// A plain archive: names mean nothing.
    Plain,
}

/// What an archive may have, against bombs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Device nodes.
    pub devices: u64,
}

impl Default for Limits {
    /// Far above what real images have.
    fn default() -> Self {
        Self { entries: 1_000_000, devices: 4096 }
    }
}

/// Options of [`extract`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtractOptions {
    /// How whiteouts are taken.
    pub mode: Mode,
    /// What the archive may have.
    pub limits: Limits,
    /// Refuse to put a file where a directory is, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
    /// Leave out what takes privileges to make: device nodes, attributes other than `user.*`.
    pub unprivileged: bool,
    /// Give the root directory what the archive says of it; layers always do.
    pub root: bool,
}

impl ExtractOptions {
    /// An image layer.
    #[must_use]
    pub fn layer() -> Self {
        Self {
            mode: Mode::Layer,
            limits: Limits::default(),
            no_overwrite_dir_non_dir: false,
            owner: None,
            unprivileged: false,
            root: false,
        }
    }

    /// A plain archive.
    #[must_use]
    pub fn plain() -> Self {
        Self { mode: Mode::Plain, ..Self::layer() }
    }
}
