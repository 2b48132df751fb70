//! Repositories: `ADD` of one, and contexts that are one.
//!
//! The host's `git` fetches, the one program that a daemon starts besides shims
//! (`docs/adr/0008-git-in-builds.md` has the reasons). It gets no configuration but ours, speaks only
//! http, https, git and ssh, and runs no hook; what it checked out is taken into a layer by
//! descriptors, with the time of its commit, so that the same commit gives the same layer.

mod program;

use std::{io, path::PathBuf, sync::Arc};

use gantry_archive::open_root;
use gantry_snapshot::Snapshots;
use tokio_util::sync::CancellationToken;

use self::program::Program;
use super::{
    OpError,
    copy::{self, Selected},
    layer::{MadeLayer, SharedLease},
    step_mounts::Confidant,
};
use crate::{
    graph::{Copy, CopyItem, GitSource, VertexId},
    runs::Sink,
    trees::{self, Tree, directory::DirectoryTree, select},
};

/// Why a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// The program is missing.
    #[error("builds from git repositories need the git program, which is not installed here")]
    NotInstalled,
    /// It could not be run.
    #[error("running git {step}")]
    Run {
        /// What it was to do.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("git {step} failed: {words}")]
    Failed {
        /// What it was to do.
        step: &'static str,
        /// Its words.
        words: String,
    },
    /// An address that is not spoken to.
    #[error("{0:?} is no address of a repository: http, https, git and ssh are known")]
    Address(String),
    /// A name that no branch, tag or commit has.
    #[error("{0:?} is no branch, tag or commit")]
    Reference(String),
    /// The repository does not have it.
    #[error("repository does not contain ref {0}")]
    NoReference(String),
    /// Another commit than it must be.
    #[error("expected checksum to match {expected}, got {actual}")]
    Checksum {
        /// What it must be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// The repository has no such directory.
    #[error("subdir not found {0}")]
    Subdirectory(String),
    /// Files of ours.
    #[error("{step}")]
    Files {
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What fetching needs.
#[derive(Clone)]
pub(crate) struct Fetcher {
    /// Where checkouts are made, each in a directory of its own.
    pub directory: PathBuf,
    pub snapshots: Snapshots,
}

/// A checkout to be made.
pub(crate) struct Checkout<'a> {
    pub source: &'a GitSource,
    /// The commit that the source's reference stands for.
    pub commit: &'a str,
    pub confidant: Option<&'a Confidant>,
    pub lease: &'a SharedLease,
}

impl Fetcher {
    /// The commit that a source's reference stands for now.
    pub(crate) async fn commit(
        &self,
        source: &GitSource,
        confidant: Option<&Confidant>,
        stop: &CancellationToken,
    ) -> Result<String, OpError> {
        check(source)?;
        let commit = if is_commit(&source.reference) {
            source.reference.to_ascii_lowercase()
        } else {
            let name = if source.reference.is_empty() { "HEAD" } else { &source.reference };
            let mut program =
                Program::begin(self, source, confidant, Sink::default(), stop).await?;
            let peeled = format!("{name}^{{}}");
            let words = ["ls-remote", "--", &source.url, name, &peeled];
            let listed = program.run("ls-remote", &words).await?;
            pick(&listed, name).ok_or_else(|| GitError::NoReference(name.to_owned()))?
        };
        if !commit.starts_with(&source.checksum.to_ascii_lowercase()) {
            let (expected, actual) = (source.checksum.clone(), commit);
            return Err(GitError::Checksum { expected, actual }.into());
        }
        Ok(commit)
    }

    /// Fetches a commit and makes a layer of it.
    pub(crate) async fn layer(
        &self,
        checkout: Checkout<'_>,
        sink: &Sink,
        stop: &CancellationToken,
    ) -> Result<Option<MadeLayer>, OpError> {
        let source = checkout.source;
        check(source)?;
        let mut program =
            Program::begin(self, source, checkout.confidant, sink.clone(), stop).await?;
        program.run("init", &["init", "--quiet", "--template=", "."]).await?;
        program.run("remote", &["remote", "add", "--", "origin", &source.url]).await?;
        self.fetch(&mut program, source, checkout.commit).await?;
        let target = format!("{}^{{commit}}", checkout.commit);
        program.run("checkout", &["checkout", "--quiet", "--detach", &target, "--"]).await?;
        if source.submodules {
            let update = ["submodule", "update", "--init", "--recursive", "--depth=1"];
            program.run("submodule update", &update).await?;
        }
        // Not `show`, which fails over a damaged `.gitmodules` that nobody asked for.
        let words = ["rev-list", "--max-count=1", "--timestamp", checkout.commit, "--"];
        let listed = program.run("rev-list", &words).await?;
        let time = listed.split_whitespace().next().and_then(|time| time.parse().ok());
        let epoch_s = time.unwrap_or(0);
        let (snapshots, lease, stop) =
            (self.snapshots.clone(), Arc::clone(checkout.lease), stop.clone());
        let source = source.clone();
        let work = move || {
            let top = open_root(program.directory())
                .map_err(|source| GitError::Files { step: "opening a checkout", source })?;
            let tree: Arc<dyn Tree> = Arc::new(DirectoryTree::of_root(top));
            let copy = whole(&source, epoch_s);
            let selected = select_in(&tree, &source)?;
            let sources = vec![selected];
            copy::run(&copy::Job { copy, base: Vec::new(), sources, snapshots, lease, stop })
        };
        crate::blocking(work).await
    }

    /// Fetches one commit alone if the server lets it be asked for, else all that it has.
    async fn fetch(
        &self,
        program: &mut Program,
        source: &GitSource,
        commit: &str,
    ) -> Result<(), OpError> {
        let named = if source.reference.is_empty() { "HEAD" } else { &source.reference };
        let quick = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin"];
        for wanted in [commit, named] {
            let args: Vec<&str> = quick.iter().copied().chain([wanted]).collect();
            let fetched = program.run("fetch", &args).await;
            if fetched.is_ok() && self.has(program, commit).await {
                return Ok(());
            }
            if let Err(OpError::Cancelled) = fetched {
                return Err(OpError::Cancelled);
            }
        }
        let all = ["fetch", "--quiet", "--tags", "--unshallow", "origin"];
        if program.run("fetch", &all).await.is_err() {
            program.run("fetch", &["fetch", "--quiet", "--tags", "origin"]).await?;
        }
        match self.has(program, commit).await {
            true => Ok(()),
            false => Err(GitError::NoReference(commit.to_owned()).into()),
        }
    }

    async fn has(&self, program: &mut Program, commit: &str) -> bool {
        let object = format!("{commit}^{{commit}}");
        program.run("cat-file", &["cat-file", "-e", &object]).await.is_ok()
    }
}

/// All of a checkout, at the top of its layer.
fn whole(source: &GitSource, epoch_s: i64) -> Copy {
    let exclude = if source.keep_git_directory { Vec::new() } else { vec!["**/.git".to_owned()] };
    Copy {
        base: None,
        items: vec![CopyItem {
            from: VertexId(0),
            source: format!("/{}", source.subdirectory),
            pivot: None,
            unpack: false,
            wildcards: false,
            may_be_absent: false,
        }],
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        parents: false,
        exclude,
        epoch_s: Some(epoch_s),
    }
}

fn select_in(tree: &Arc<dyn Tree>, source: &GitSource) -> Result<Selected, OpError> {
    let missing = || GitError::Subdirectory(source.subdirectory.clone());
    let wanted = select::Source {
        path: &source.subdirectory,
        wildcards: false,
        parents: false,
        pivot: None,
        may_be_absent: false,
    };
    let found = select::select(&**tree, wanted).map_err(|error| match error {
        trees::TreeError::NotFound { .. } => OpError::Git(missing()),
        error => OpError::Tree(error),
    })?;
    if !found.iter().all(|found| found.node.is_directory()) {
        return Err(missing().into());
    }
    Ok(Selected { tree: Arc::clone(tree), found, unpack: false })
}

/// Refuses what could be taken for an option or for another way of fetching.
fn check(source: &GitSource) -> Result<(), GitError> {
    let url = source.url.as_str();
    let known = match url.split_once("://") {
        Some((scheme, rest)) => {
            matches!(scheme, "http" | "https" | "git" | "ssh") && !rest.starts_with('-')
        }
        // `user@host:path`; a double colon would name a helper program.
        None => {
            url.split_once('@').is_some_and(|(user, rest)| {
                let host = rest.split(':').next().unwrap_or_default();
                !user.is_empty() && !host.is_empty() && !host.starts_with('-') && rest.contains(':')
            }) && !url.contains("::")
        }
    };
    if !known || url.starts_with('-') || url.contains(char::is_control) {
        return Err(GitError::Address(program::without_password(url)));
    }
    let reference = source.reference.as_str();
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if reference.starts_with('-') || reference.contains(odd) || reference.contains("..") {
        return Err(GitError::Reference(reference.to_owned()));
    }
    Ok(())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit of a name among the lines of `ls-remote`. A branch comes before a tag, and what a tag
/// stands for before the tag itself.
fn pick(lines: &str, name: &str) -> Option<String> {
    let short = name.strip_prefix("refs/").unwrap_or(name);
    let candidates = [
        name.to_owned(),
        format!("refs/{short}"),
        format!("refs/heads/{name}"),
        format!("refs/tags/{name}"),
    ];
    let commit_of = |wanted: &str| {
        lines.lines().find_map(|line| {
            let (commit, reference) = line.split_once('\t')?;
            (reference.trim() == wanted && is_commit(commit)).then(|| commit.to_owned())
        })
    };
    candidates.iter().find_map(|candidate| {
        commit_of(&format!("{candidate}^{{}}")).or_else(|| commit_of(candidate))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, reference: &str) -> GitSource {
        GitSource {
            url: url.to_owned(),
            reference: reference.to_owned(),
            subdirectory: String::new(),
            keep_git_directory: false,
            checksum: String::new(),
            submodules: false,
        }
    }

    #[test]
    fn hostile_addresses_and_references() {
        for (url, reference, want) in [
            ("https://host/x.git", "main", true),
            ("https://host/x.git", "refs/heads/feature/x", true),
            ("git@host:x.git", "v1.0", true),
            ("ssh://git@host/x", "", true),
            ("ext::sh -c touch% /tmp/x", "", false),
            ("git@host:ext::x", "", false),
            ("file:///etc", "", false),
            ("/etc", "", false),
            ("--upload-pack=touch /tmp/x", "", false),
            ("-x@host:y", "", false),
            ("user@-oProxyCommand=x:y", "", false),
            ("ssh://-oProxyCommand=x/y", "", false),
            ("https://host/x\n", "", false),
            ("https://host/x", "--upload-pack=x", false),
            ("https://host/x", "a b", false),
            ("https://host/x", "a..b", false),
            ("https://host/x", "a:b", false),
            ("https://host/x", "HEAD^{/x}", false),
        ] {
            assert_eq!(check(&source(url, reference)).is_ok(), want, "{url} {reference}");
        }
    }

    #[test]
    fn branches_come_before_tags() {
        let id = |digit: char| digit.to_string().repeat(40);
        let lines = format!(
            "{}\trefs/heads/main\n{}\trefs/tags/main\n{}\trefs/tags/v1\n{}\trefs/tags/v1^{{}}\n{}\tHEAD\nx\tbroken\n",
            id('a'),
            id('b'),
            id('c'),
            id('d'),
            id('e')
        );
        for (name, want) in [
            ("main", Some('a')),
            ("refs/tags/main", Some('b')),
            ("v1", Some('d')),
            ("HEAD", Some('e')),
            ("heads/main", Some('a')),
            ("broken", None),
        ] {
            assert_eq!(pick(&lines, name), want.map(id), "{name}");
        }
    }
}
