//! What is to be built, as a graph of operations: the solver's input. It knows no Dockerfiles.
//!
//! A vertex stands for a file system: the layers of its base and, for most, one more. Vertices are
//! numbered so that each comes after its inputs.

use std::collections::BTreeMap;

use gantry_build_proto::Place;
use gantry_oci::Platform;
use serde::Serialize;

/// Number of a vertex in its [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VertexId(pub u32);

/// Operations, each after those that it needs.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The vertices; a [`VertexId`] is the index.
    pub vertices: Vec<Vertex>,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Vertex {
    /// What is shown while it runs, such as `[2/5] RUN make`.
    pub name: String,
    /// The instruction as written, if it comes of one.
    pub instruction: String,
    /// Where it was written.
    pub place: Option<Place>,
    /// What is done.
    pub op: Op,
    /// Its result is not taken from the cache.
    pub no_cache: bool,
}

/// What a vertex does. What is written in here, with the contents of its inputs, is its cache key.
#[derive(Debug, Clone, Serialize)]
pub enum Op {
    /// No file at all.
    Scratch,
    /// The layers of an image.
    Image(ImageSource),
    /// A tree of files that a context offers; it is a source of copies and mounts, never a base.
    Context(ContextTree),
    /// A git repository's tree.
    Git(GitSource),
    /// A file behind a URL.
    Http(HttpSource),
    /// Files that are written in the Dockerfile.
    Inline(Vec<InlineFile>),
    /// Runs a command; a layer of what it changes.
    Exec(Box<Exec>),
    /// Copies files; a layer of them.
    Copy(Box<Copy>),
    /// Makes a directory, and those above it, unless it is there.
    MakeDirectory(MakeDirectory),
    /// The layers of one upon those of another (`COPY --link`, whose layer depends on no base).
    Merge {
        /// Below.
        lower: VertexId,
        /// Above.
        upper: VertexId,
    },
}

/// An image, as `FROM` and `COPY --from` name it.
#[derive(Debug, Clone, Serialize)]
pub struct ImageSource {
    /// Its id (`sha256:…`): names are looked up before the graph is made.
    pub id: String,
}

/// A context.
#[derive(Debug, Clone, Serialize)]
pub struct ContextTree {
    /// Its name; the main context's is empty.
    pub name: String,
}

/// `ADD` of a git repository, or a context.
#[derive(Debug, Clone, Serialize)]
pub struct GitSource {
    /// Where.
    pub url: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Directory in it; empty for the top.
    pub subdirectory: String,
    /// Whether `.git` stays.
    pub keep_git_directory: bool,
    /// Commit that it must be; empty for any.
    pub checksum: String,
    /// Submodules are fetched.
    pub submodules: bool,
}

/// `ADD` of a URL.
#[derive(Debug, Clone, Serialize)]
pub struct HttpSource {
    /// Where.
    pub url: String,
    /// Digest that it must have; empty for any.
    pub checksum: String,
    /// The file's name.
    pub name: String,
}

/// A file of a heredoc.
#[derive(Debug, Clone, Serialize)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
}

/// `RUN`.
#[derive(Debug, Clone, Serialize)]
pub struct Exec {
    /// The file system to run on.
    pub base: VertexId,
    /// Program and arguments.
    pub args: Vec<String>,
    /// What is given to the first process as standard input: a heredoc.
    pub stdin: Option<String>,
    /// Variables that count for the cache, `NAME=value`.
    pub env: Vec<String>,
    /// Variables that do not (proxies).
    #[serde(skip)]
    pub silent_env: Vec<String>,
    /// Working directory.
    pub working_directory: String,
    /// `user`, `user:group`, by name or number; empty for root.
    pub user: String,
    /// Host name; empty for one that is made up.
    pub hostname: String,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub network: StepNetwork,
    /// All privileges (`--security=insecure`).
    pub insecure: bool,
    /// Platform that it runs on, if not the host's.
    pub platform: Option<Platform>,
    /// Further lines of `/etc/hosts`.
    pub add_hosts: Vec<String>,
    /// Exit codes that are no failure; 0 always is none.
    pub allowed_exit_codes: Vec<i32>,
}

/// Network of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum StepNetwork {
    /// The default bridge, or what the build asks for.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `RUN --mount`.
#[derive(Debug, Clone, Serialize)]
pub struct Mount {
    /// Where, absolute or below the working directory.
    pub target: String,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, Serialize)]
pub enum MountKind {
    /// A part of another vertex's file system or of a context.
    Bind {
        /// Whose.
        from: VertexId,
        /// Path in it; empty for all.
        source: String,
        /// May be written to; what is written is dropped afterwards.
        writable: bool,
    },
    /// A directory that stays from build to build. What is in it does not count for the cache key.
    Cache {
        /// Its name.
        id: String,
        /// Who else may use it meanwhile.
        sharing: Sharing,
        /// What it holds at first.
        from: Option<VertexId>,
        /// Path in that.
        source: String,
        /// Not to be written to.
        read_only: bool,
        /// Permissions when it is made.
        mode: u32,
        /// Owner when it is made.
        uid: u32,
        /// Group when it is made.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Most bytes; 0 for no limit of its own.
        size_bytes: u64,
    },
    /// A secret of the client's: a file, a variable, or both. Its value counts for no cache key.
    Secret {
        /// Which.
        id: String,
        /// Whether there is a file at the target.
        file: bool,
        /// Variable that gets it; empty for none.
        variable: String,
        /// The step fails without it.
        required: bool,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The client's SSH agent, a socket at the target; `SSH_AUTH_SOCK` names the first.
    Ssh {
        /// Which.
        id: String,
        /// The step fails without it.
        required: bool,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// Who may use a cache directory at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each at once gets one of its own.
    Private,
    /// One after the other.
    Locked,
}

/// `COPY` and `ADD`.
#[derive(Debug, Clone, Serialize)]
pub struct Copy {
    /// What it is put upon; none with `--link`.
    pub base: Option<VertexId>,
    /// What is copied, in this order.
    pub items: Vec<CopyItem>,
    /// Where to, absolute and cleaned; with a slash at its end it is a directory.
    pub destination: String,
    /// Owner; none for that of the source: files of contexts, repositories, URLs and Dockerfiles are
    /// root's, those of stages, images and archives whose they are there. Directories that are made
    /// on the way are root's then, and so is the one that a directory's contents go to.
    pub owner: Option<Owner>,
    /// Permissions; none for those of the source.
    pub mode: Option<Mode>,
    /// Keep the directories of sources (`--parents`).
    pub parents: bool,
    /// Patterns of what is left out, relative to each source.
    pub exclude: Vec<String>,
    /// Time that all copied things get, s since 1970 (`SOURCE_DATE_EPOCH`); none for the source's.
    pub epoch_s: Option<i64>,
}

/// One source of a copy.
#[derive(Debug, Clone, Serialize)]
pub struct CopyItem {
    /// Whose files.
    pub from: VertexId,
    /// Path or pattern in it, absolute and cleaned. Of a directory what is in it is copied.
    pub source: String,
    /// With [`Copy::parents`], the directory of `from` that `source` is below and that is not kept
    /// itself; none for its top.
    pub pivot: Option<String>,
    /// An archive is unpacked.
    pub unpack: bool,
    /// The source is a pattern, not a name.
    pub wildcards: bool,
    /// It is no error when nothing matches.
    pub may_be_absent: bool,
}

/// Permissions of copied things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// These.
    Octal(u32),
    /// Changes to the source's, such as `u+x,go-w`.
    Symbolic(String),
}

/// `user:group`, by name or number; names are looked up in the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// User.
    pub user: String,
    /// Group; empty for the user's own.
    pub group: String,
}

/// `WORKDIR`.
#[derive(Debug, Clone, Serialize)]
pub struct MakeDirectory {
    /// Where.
    pub base: VertexId,
    /// The directory, absolute.
    pub path: String,
    /// Owner; none for root.
    pub owner: Option<Owner>,
    /// Permissions.
    pub mode: u32,
    /// Its time, s since 1970; none for now.
    pub epoch_s: Option<i64>,
}

/// An image to make of a vertex.
#[derive(Debug, Clone)]
pub struct Target {
    /// The vertex; none for an image without layers.
    pub vertex: VertexId,
    /// Its configuration; `rootfs` is filled in by the exporter, `history` is complete but for
    /// which entries have no layer.
    pub config: gantry_oci::ImageConfig,
    /// For each entry of `config.history` that this build adds, the vertex that made its layer.
    pub layers_of_history: BTreeMap<usize, VertexId>,
    /// Platform that it is of.
    pub platform: Platform,
}

impl Graph {
    /// Adds a vertex.
    pub fn push(&mut self, vertex: Vertex) -> VertexId {
        let id = u32::try_from(self.vertices.len()).expect("a graph has under 2^32 vertices");
        self.vertices.push(vertex);
        VertexId(id)
    }

    /// The vertex with this number.
    #[must_use]
    pub fn vertex(&self, id: VertexId) -> &Vertex {
        let index = usize::try_from(id.0).expect("numbers are indices");
        &self.vertices[index]
    }
}
