//! `ADD` and `COPY`.

use gantry_dockerfile::{Add, Copy, InlineFile as Inline, Instruction, Sources, Word};
use gantry_oci::Digest;

use super::{
    error::{At, PlanError},
    modes, paths,
    stages::Command,
    vertices::Shown,
    work::Work,
};
use crate::{
    graph::{self, CopyItem, HttpSource, InlineFile, Op, Owner, VertexId},
    remote::{Git, Remote},
};

/// Permissions of files that are written in the Dockerfile.
const INLINE_MODE: u32 = 0o644;

/// What both instructions say.
struct Request<'i> {
    keyword: &'static str,
    files: &'i Sources,
    chown: String,
    chmod: String,
    exclude: &'i [Word],
    link: bool,
    parents: bool,
    /// Where the sources are that are no address.
    from: Local,
    /// What `ADD` has beyond `COPY`.
    add: Option<&'i Add>,
}

/// The files that paths are of.
#[derive(Clone, Copy)]
enum Local {
    /// The build context.
    Context,
    /// Another vertex.
    Vertex(VertexId),
}

/// An owner as it is written: `user[:group]`; none for root.
pub(super) fn owner(text: &str) -> Option<Owner> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let empty = user.is_empty() && group.is_empty();
    (!empty).then(|| Owner { user: user.to_owned(), group: group.to_owned() })
}

/// Whether an owner needs no lookup in a file system.
fn is_numeric(owner: Option<&Owner>) -> bool {
    let number = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    owner.is_none_or(|owner| number(&owner.user) && number(&owner.group))
}

fn text(word: Option<&Word>) -> String {
    word.map(|word| word.text.clone()).unwrap_or_default()
}

impl Work<'_, '_> {
    pub(super) fn add(&mut self, add: &Add, instruction: &Instruction) -> Result<(), At> {
        let request = Request {
            keyword: "ADD",
            files: &add.files,
            chown: text(add.chown.as_ref()),
            chmod: text(add.chmod.as_ref()),
            exclude: &add.exclude,
            link: add.link,
            parents: false,
            from: Local::Context,
            add: Some(add),
        };
        self.copy_files(&request, instruction)
    }

    pub(super) fn copy(&mut self, copy: &Copy, command: &Command<'_>) -> Result<(), At> {
        let from = match command.from.first() {
            Some(origin) => Local::Vertex(self.source(*origin)?),
            None => Local::Context,
        };
        let request = Request {
            keyword: "COPY",
            files: &copy.files,
            chown: text(copy.chown.as_ref()),
            chmod: text(copy.chmod.as_ref()),
            exclude: &copy.exclude,
            link: copy.link,
            parents: copy.parents,
            from,
            add: None,
        };
        self.copy_files(&request, &command.instruction)
    }

    fn copy_files(&mut self, request: &Request<'_>, instruction: &Instruction) -> Result<(), At> {
        let owner = owner(&request.chown);
        let mode = match request.chmod.as_str() {
            "" => None,
            text => Some(modes::parse(text).map_err(PlanError::Mode)?),
        };
        check_checksum(request)?;
        let name = self.name_of(&instruction.written.text);
        let shown = self.shown(instruction, &name);
        let mut items = Vec::new();
        for path in &request.files.paths {
            items.push(self.item(request, &path.text, &shown)?);
        }
        items.extend(request.files.inline.iter().map(|file| self.inline_item(file)));
        let linked = request.link && is_numeric(owner.as_ref());
        let copy = graph::Copy {
            base: (!linked).then_some(self.state.vertex),
            items,
            destination: paths::destination(
                self.state.directory(),
                &request.files.destination.text,
            ),
            owner,
            mode,
            parents: request.parents,
            exclude: request.exclude.iter().map(|word| word.text.clone()).collect(),
            epoch_s: self.planner.epoch_s,
        };
        let entry = entry(request);
        let mut vertex =
            self.planner.vertices.push(Op::Copy(Box::new(copy)), shown.clone(), self.fresh);
        if linked {
            let shown = Shown { name: linked_name(&shown.name), ..shown };
            let merge = Op::Merge { lower: self.state.vertex, upper: vertex };
            vertex = self.planner.vertices.push(merge, shown, false);
        }
        self.state.commit_layer(entry, vertex);
        Ok(())
    }

    /// One source.
    fn item(&mut self, request: &Request<'_>, source: &str, shown: &Shown) -> Result<CopyItem, At> {
        match Remote::parse(source).map_err(PlanError::Remote)? {
            Remote::Git(git) => match request.add {
                Some(add) => self.git_item(add, git, shown),
                None => Err(PlanError::CopyGit.into()),
            },
            Remote::Http(url) => match request.add {
                Some(add) => Ok(self.http_item(add, url, shown)),
                None => Err(PlanError::CopyUrl.into()),
            },
            Remote::Local => Ok(self.local_item(request, source)),
        }
    }

    fn local_item(&mut self, request: &Request<'_>, source: &str) -> CopyItem {
        let from = match request.from {
            Local::Vertex(vertex) => vertex,
            Local::Context => self.planner.main_context(),
        };
        let pivot = request.parents.then(|| source.split_once("/./")).flatten();
        let path = match pivot {
            // Cleaned apart: what is below the pivot cannot lead above it.
            Some((above, below)) => {
                let above = paths::absolute("/", above);
                format!("{}{}", above.trim_end_matches('/'), paths::absolute("/", below))
            }
            None => paths::absolute("/", source),
        };
        let wildcards = paths::is_pattern(&path);
        CopyItem {
            from,
            source: path,
            pivot: pivot.map(|(above, _)| paths::absolute("/", above)),
            unpack: request.add.is_some_and(|add| add.unpack.unwrap_or(true)),
            wildcards,
            may_be_absent: wildcards,
        }
    }

    fn http_item(&mut self, add: &Add, url: String, shown: &Shown) -> CopyItem {
        let name = Remote::file_name(&url);
        let source = HttpSource { url, checksum: text(add.checksum.as_ref()), name };
        let path = format!("/{}", source.name);
        let from = self.planner.vertices.push(Op::Http(source), shown.clone(), false);
        plain_item(from, path, add.unpack.unwrap_or(false))
    }

    fn git_item(&mut self, add: &Add, mut git: Git, shown: &Shown) -> Result<CopyItem, At> {
        match (add.keep_git_dir, git.keep_git_directory) {
            (Some(flag), Some(address)) if flag != address => {
                return Err(PlanError::KeepGit.into());
            }
            (flag, address) => git.keep_git_directory = address.or(flag),
        }
        let flag = text(add.checksum.as_ref());
        if !flag.is_empty() && !git.checksum.is_empty() && flag != git.checksum {
            return Err(PlanError::Checksums { flag, address: git.checksum }.into());
        }
        if git.checksum.is_empty() {
            git.checksum = flag;
        }
        let op = Op::Git(git.source());
        let from = self.planner.vertices.push(op, shown.clone(), false);
        Ok(plain_item(from, "/".to_owned(), false))
    }

    fn inline_item(&mut self, file: &Inline) -> CopyItem {
        let from = self.inline(file.name.clone(), file.content.clone(), INLINE_MODE);
        plain_item(from, format!("/{}", file.name), false)
    }

    /// A file that is written in the Dockerfile, as a source.
    pub(super) fn inline(&mut self, name: String, content: String, mode: u32) -> VertexId {
        let op = Op::Inline(vec![InlineFile { name, content, mode }]);
        let shown = Shown::named("[internal] preparing inline document");
        self.planner.vertices.push(op, shown, false)
    }
}

fn plain_item(from: VertexId, source: String, unpack: bool) -> CopyItem {
    CopyItem { from, source, pivot: None, unpack, wildcards: false, may_be_absent: false }
}

/// `[2/5] LINK COPY a b` of `[2/5] COPY a b`.
fn linked_name(name: &str) -> String {
    match name.split_once("] ") {
        Some((prefix, rest)) => format!("{prefix}] LINK {rest}"),
        None => format!("LINK {name}"),
    }
}

/// What the history says.
fn entry(request: &Request<'_>) -> String {
    let mut entry = request.keyword.to_owned();
    if request.parents {
        entry.push_str(" --parents");
    }
    for (flag, value) in [("chown", &request.chown), ("chmod", &request.chmod)] {
        if !value.is_empty() {
            entry.push_str(&format!(" --{flag}={value}"));
        }
    }
    for path in &request.files.paths {
        entry.push_str(&format!(" {}", path.text));
    }
    for file in &request.files.inline {
        entry.push_str(&format!(" <<{}", file.name));
    }
    format!("{entry} {} # buildkit", request.files.destination.text)
}

/// A checksum is of one file behind a URL, or of one commit.
fn check_checksum(request: &Request<'_>) -> Result<(), At> {
    let Some(checksum) = request.add.and_then(|add| add.checksum.as_ref()) else { return Ok(()) };
    let [source] = request.files.paths.as_slice() else {
        return Err(PlanError::ChecksumOfMany.into());
    };
    match Remote::parse(&source.text).map_err(PlanError::Remote)? {
        Remote::Local => Err(PlanError::ChecksumOfLocal.into()),
        Remote::Git(_) => Ok(()),
        Remote::Http(_) => match checksum.text.parse::<Digest>() {
            Ok(_) => Ok(()),
            Err(error) => Err(PlanError::ChecksumDigest(error).into()),
        },
    }
}
