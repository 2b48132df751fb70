//! Cache keys: what a vertex's result depends on.
//!
//! Every field of an operation is named here, so that one that is added cannot be forgotten; those
//! that do not count say so. Secrets' values, proxies and what is in a cache mount count for nothing.

use gantry_oci::Digest;

use crate::{
    cache::record::Part,
    graph::{
        Copy, CopyItem, Exec, GitSource, MakeDirectory, Mode, Mount, MountKind, Op, Owner, VertexId,
    },
    trees::{
        Tree, TreeError, components, digest, digest::Fields, join, pattern::Excludes, select::Found,
    },
};

/// Changes whenever keys are made in another way.
const VERSION: &str = "1";
/// Digits that a part's hash is told by.
const PART_DIGITS: usize = 16;

/// What an operation's inputs are, as far as its key is concerned.
pub(crate) struct Inputs<'a> {
    /// The key of a vertex.
    pub vertex: &'a dyn Fn(VertexId) -> String,
    /// The digest of the files that an item of a copy or a mount takes, if that is known.
    pub files: &'a dyn Fn(usize) -> Option<Digest>,
}

/// A key, and what it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub digest: Digest,
    pub parts: Vec<Part>,
}

/// Collects parts.
pub(crate) struct Parts {
    fields: Fields,
    parts: Vec<Part>,
}

impl Parts {
    pub(crate) fn new(kind: &str) -> Self {
        let mut parts = Self { fields: Fields::new(), parts: Vec::new() };
        parts.fields.add(VERSION.as_bytes()).add(kind.as_bytes());
        parts
    }

    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.add_as(name, name, value)
    }

    /// Adds a part that people know by another name than the one that counts.
    fn add_as(&mut self, counts: &str, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.fields.add(counts.as_bytes()).add(value);
        let hash = Digest::of(value).hex()[..PART_DIGITS].to_owned();
        self.parts.push(Part { name: name.to_owned(), hash });
        self
    }

    /// A value that is one of several things: its text in Rust's words is as good as any.
    fn debug(&mut self, name: &str, value: &impl std::fmt::Debug) -> &mut Self {
        self.add(name, format!("{value:?}"))
    }

    pub(crate) fn finish(self) -> Key {
        Key { digest: self.fields.finish(), parts: self.parts }
    }
}

/// The key of an operation; none of one that has files only, which count where they are taken.
pub(crate) fn of(op: &Op, inputs: &Inputs<'_>) -> Option<Key> {
    let mut parts = match op {
        Op::Scratch => Parts::new("scratch"),
        // What counts of an image are its layers: whoever asks names them.
        Op::Image(_) | Op::Context(_) | Op::Git(_) | Op::Http(_) | Op::Inline(_) => return None,
        Op::Exec(_) => Parts::new("exec"),
        Op::Copy(_) => Parts::new("copy"),
        Op::MakeDirectory(_) => Parts::new("directory"),
        Op::Merge { .. } => Parts::new("merge"),
    };
    match op {
        Op::Exec(exec) => add_exec(&mut parts, exec, inputs),
        Op::Copy(copy) => add_copy(&mut parts, copy, inputs),
        Op::MakeDirectory(directory) => add_directory(&mut parts, directory, inputs),
        Op::Merge { lower, upper } => {
            parts.add("base", (inputs.vertex)(*lower)).add("layer", (inputs.vertex)(*upper));
        }
        Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Git(_) | Op::Http(_) | Op::Inline(_) => {}
    }
    Some(parts.finish())
}

/// The key of layers.
pub(crate) fn of_layers(chain: &str) -> Key {
    let mut parts = Parts::new("layers");
    parts.add("layers", chain);
    parts.finish()
}

/// The key of a commit's files.
pub(crate) fn of_git(source: &GitSource, commit: &str) -> Key {
    // The reference has led to the commit, and the checksum was met.
    let GitSource { url, reference: _, subdirectory, keep_git_directory, checksum: _, submodules } =
        source;
    let mut parts = Parts::new("git");
    parts.add("repository", url).add("commit", commit).add("directory", subdirectory);
    parts.debug("git directory", keep_git_directory).debug("submodules", submodules);
    parts.finish()
}

/// The digest of what an item of a copy takes.
pub(crate) fn of_files(
    tree: &dyn Tree,
    found: &[Found],
    excludes: &Excludes,
) -> Result<Digest, TreeError> {
    let mut fields = Fields::new();
    let mut whole = true;
    for found in found {
        fields.add(&found.name).add(&found.above);
        let mut at = found.pivot.clone();
        for part in components(&found.above) {
            at = join(&at, part);
            let node = tree.node(&at)?.ok_or_else(|| TreeError::not_found(&at))?;
            fields.number(node.mode.into()).number(node.uid.into()).number(node.gid.into());
        }
        let relative = join(&found.above, &found.name);
        let top = if relative.is_empty() || found.above.is_empty() { Vec::new() } else { relative };
        let filter = |path: &[u8], node: &crate::trees::Node| {
            let out = excludes.excludes(&join(&top, path));
            !out || node.is_directory() && excludes.has_exceptions()
        };
        let filter: Option<digest::Filter<'_>> =
            if excludes.is_empty() { None } else { Some(&filter) };
        if found.node.is_directory() {
            match tree.expect_all(&found.path) {
                Err(TreeError::Absent) => {
                    whole = false;
                    continue;
                }
                expected => expected?,
            }
        }
        match digest::of(tree, &found.path, &found.node, filter) {
            Ok(digest) => drop(fields.add(digest.as_str().as_bytes())),
            // What else is missing is looked for too, so that all of it is fetched at once.
            Err(TreeError::Absent) => whole = false,
            Err(error) => return Err(error),
        }
    }
    if whole { Ok(fields.finish()) } else { Err(TreeError::Absent) }
}

fn add_exec(parts: &mut Parts, exec: &Exec, inputs: &Inputs<'_>) {
    let Exec {
        base,
        args,
        stdin,
        env,
        silent_env: _,
        working_directory,
        user,
        hostname,
        mounts,
        network,
        insecure,
        platform,
        add_hosts,
        allowed_exit_codes,
    } = exec;
    parts.add("base", (inputs.vertex)(*base));
    parts.debug("command", args).debug("input", stdin);
    for variable in env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        parts.add(&format!("variable {name}"), value);
    }
    parts.add("directory", working_directory).add("user", user).add("host name", hostname);
    parts.debug("network", network).debug("security", insecure);
    let platform = platform.as_ref().map(ToString::to_string).unwrap_or_default();
    parts.add("platform", platform).debug("hosts", add_hosts);
    parts.debug("exit codes", allowed_exit_codes);
    for (slot, mount) in mounts.iter().enumerate() {
        add_mount(parts, slot, mount, inputs);
    }
}

fn add_mount(parts: &mut Parts, slot: usize, mount: &Mount, inputs: &Inputs<'_>) {
    let Mount { target, kind } = mount;
    let name = format!("mount {target}");
    parts.add("mount", target);
    match kind {
        MountKind::Bind { from, source, writable } => {
            parts.debug(&name, &("bind", writable, source));
            add_source(parts, &format!("files at {target}"), slot, *from, "", inputs);
        }
        MountKind::Cache { id, sharing, from, source, read_only, mode, uid, gid } => {
            parts.debug(&name, &("cache", id, sharing, source, read_only, mode, uid, gid));
            if let Some(from) = from {
                add_source(parts, &format!("files at {target}"), slot, *from, "", inputs);
            }
        }
        MountKind::Tmpfs { size_bytes } => drop(parts.debug(&name, &("tmpfs", size_bytes))),
        MountKind::Secret { id, file, variable, required, mode, uid, gid } => {
            parts.debug(&name, &("secret", id, file, variable, required, mode, uid, gid));
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            parts.debug(&name, &("ssh", id, required, mode, uid, gid));
        }
    }
}

fn add_copy(parts: &mut Parts, copy: &Copy, inputs: &Inputs<'_>) {
    let Copy { base, items, destination, owner, mode, parents, exclude, epoch_s } = copy;
    let base = base.map(|base| (inputs.vertex)(base)).unwrap_or_default();
    parts.add("base", base);
    parts.add("destination", destination).debug("directories kept", parents);
    add_owner(parts, owner.as_ref());
    match mode {
        None => parts.add("mode", ""),
        Some(Mode::Octal(mode)) => parts.add("mode", format!("{mode:o}")),
        Some(Mode::Symbolic(mode)) => parts.add("mode", mode),
    };
    parts.debug("excluded", exclude).debug("time", epoch_s);
    for (slot, item) in items.iter().enumerate() {
        let CopyItem { from, source, pivot, unpack, wildcards, may_be_absent } = item;
        // Once the files are known it does not count what they were asked for by.
        let asked = format!("{:?}", (source, pivot, wildcards, may_be_absent));
        parts.debug("unpack", unpack);
        add_source(parts, &format!("files of {source}"), slot, *from, &asked, inputs);
    }
}

fn add_directory(parts: &mut Parts, directory: &MakeDirectory, inputs: &Inputs<'_>) {
    let MakeDirectory { base, path, owner, mode, epoch_s } = directory;
    parts.add("base", (inputs.vertex)(*base)).add("path", path).debug("mode", mode);
    add_owner(parts, owner.as_ref());
    parts.debug("time", epoch_s);
}

fn add_owner(parts: &mut Parts, owner: Option<&Owner>) {
    match owner {
        None => drop(parts.add("owner", "")),
        Some(Owner { user, group }) => drop(parts.debug("owner", &(user, group))),
    }
}

fn add_source(
    parts: &mut Parts,
    name: &str,
    slot: usize,
    from: VertexId,
    asked: &str,
    inputs: &Inputs<'_>,
) {
    match (inputs.files)(slot) {
        Some(files) => parts.add_as("files", name, files.as_str()),
        None => parts.add_as("source", name, format!("{asked} {}", (inputs.vertex)(from))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Sharing, StepNetwork};

    fn key(op: &Op) -> Digest {
        let inputs = Inputs { vertex: &|id| id.0.to_string(), files: &|_| None };
        of(op, &inputs).unwrap().digest
    }

    fn exec() -> Exec {
        Exec {
            base: VertexId(0),
            args: vec!["a".into(), "b".into()],
            stdin: None,
            env: vec!["A=1".into()],
            silent_env: Vec::new(),
            working_directory: "/".into(),
            user: String::new(),
            hostname: String::new(),
            mounts: vec![Mount {
                target: "/c".into(),
                kind: MountKind::Cache {
                    id: "c".into(),
                    sharing: Sharing::Shared,
                    from: None,
                    source: String::new(),
                    read_only: false,
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                },
            }],
            network: StepNetwork::Default,
            insecure: false,
            platform: None,
            add_hosts: Vec::new(),
            allowed_exit_codes: Vec::new(),
        }
    }

    #[test]
    fn every_field_counts_but_those_that_must_not() {
        let base = key(&Op::Exec(Box::new(exec())));
        let same = |change: &dyn Fn(&mut Exec)| {
            let mut exec = exec();
            change(&mut exec);
            key(&Op::Exec(Box::new(exec))) == base
        };
        assert!(same(&|exec| exec.silent_env.push("HTTP_PROXY=x".into())));
        type Change<'a> = (&'a str, &'a dyn Fn(&mut Exec));
        let changes: [Change<'_>; 14] = [
            ("base", &|exec| exec.base = VertexId(1)),
            ("args", &|exec| exec.args = vec!["a b".into()]),
            ("args split", &|exec| exec.args = vec!["a".into(), String::new(), "b".into()]),
            ("stdin", &|exec| exec.stdin = Some(String::new())),
            ("env", &|exec| exec.env = vec!["A=2".into()]),
            ("more env", &|exec| exec.env.push("B=".into())),
            ("directory", &|exec| exec.working_directory = "/x".into()),
            ("user", &|exec| exec.user = "x".into()),
            ("hostname", &|exec| exec.hostname = "x".into()),
            ("mounts", &|exec| exec.mounts.clear()),
            ("network", &|exec| exec.network = StepNetwork::None),
            ("insecure", &|exec| exec.insecure = true),
            ("hosts", &|exec| exec.add_hosts.push("a:1.2.3.4".into())),
            ("codes", &|exec| exec.allowed_exit_codes.push(1)),
        ];
        for (name, change) in changes {
            assert!(!same(change), "{name}");
        }
    }

    #[test]
    fn known_files_count_by_their_digest_alone() {
        let copy = |source: &str| {
            Op::Copy(Box::new(Copy {
                base: None,
                items: vec![CopyItem {
                    from: VertexId(0),
                    source: source.to_owned(),
                    pivot: None,
                    unpack: false,
                    wildcards: false,
                    may_be_absent: false,
                }],
                destination: "/".into(),
                owner: None,
                mode: None,
                parents: false,
                exclude: Vec::new(),
                epoch_s: None,
            }))
        };
        let with_files = |source: &str, content: &[u8]| {
            let digest = Digest::of(content);
            let inputs =
                Inputs { vertex: &|id| id.0.to_string(), files: &|_| Some(digest.clone()) };
            of(&copy(source), &inputs).unwrap().digest
        };
        assert_eq!(with_files("/a", b"1"), with_files("/b", b"1"));
        assert_ne!(with_files("/a", b"1"), with_files("/a", b"2"));
        assert_ne!(key(&copy("/a")), key(&copy("/b")));
    }
}
