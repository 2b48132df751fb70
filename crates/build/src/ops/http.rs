//! `ADD` of a URL: one file, kept in the mirror and asked for again only if it has changed.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_oci::{Digest, DigestError, Hasher};

use super::OpError;
use crate::{
    graph::HttpSource,
    trees::{
        Kind, Node, Tree, TreeError, Xattrs,
        mirror::{KeptFile, Mirror, MirrorError, Session},
    },
    web::{Web, WebError},
};

/// Permissions of a file that came over the network.
const MODE: u32 = 0o600;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// It could not be fetched.
    #[error(transparent)]
    Web(#[from] WebError),
    /// It could not be kept.
    #[error("keeping {url}")]
    Keep {
        /// What was fetched.
        url: String,
        /// Why not.
        #[source]
        source: Box<MirrorError>,
    },
    /// It could not be read or noted.
    #[error("keeping {url}")]
    File {
        /// What was fetched.
        url: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not the one that it must be.
    #[error("{url}: digest mismatch {actual}: {expected}")]
    Digest {
        /// What was fetched.
        url: String,
        /// What it must be.
        expected: String,
        /// What it is.
        actual: Digest,
    },
    /// What it must be is no digest.
    #[error("checksum {text:?}")]
    Checksum {
        /// As written.
        text: String,
        /// What is wrong.
        #[source]
        source: DigestError,
    },
}

/// Fetches a file; `progress` hears of its bytes.
pub(crate) async fn fetch(
    web: &Web,
    mirror: &Mirror,
    source: &HttpSource,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<FileTree, OpError> {
    let url = || source.url.clone();
    let session = mirror.session().await;
    let identity = format!("url\0{}", source.url);
    let known = mirror.kept_file(&identity);
    let tag = known.as_ref().map(|known| known.tag.as_str()).filter(|tag| *tag != "?");
    let answer = web.get(&source.url, tag.unwrap_or_default()).await.map_err(HttpError::from)?;
    let file = match (answer.body, known) {
        (None, Some(known)) => known,
        (body, _) => {
            let size = AtomicU64::new(0);
            let count = |bytes| {
                size.fetch_add(bytes, Ordering::Relaxed);
                progress(bytes);
            };
            let body = body.unwrap_or_else(|| Box::pin(futures_util::stream::empty()));
            let digest = mirror
                .put(body, &count)
                .await
                .map_err(|source| HttpError::Keep { url: url(), source: Box::new(source) })?;
            let size_bytes = size.into_inner();
            KeptFile {
                tag: answer.etag,
                digest,
                size_bytes,
                mtime_s: answer.modified_s.unwrap_or(0),
            }
        }
    };
    let failed = |source| HttpError::File { url: url(), source };
    mirror.keep_file(&identity, &file).map_err(failed)?;
    check(mirror, source, &file)?;
    Ok(FileTree { mirror: mirror.clone(), name: source.name.clone(), file, _session: session })
}

fn check(mirror: &Mirror, source: &HttpSource, file: &KeptFile) -> Result<(), HttpError> {
    if source.checksum.is_empty() {
        return Ok(());
    }
    let wrong = |error| HttpError::Checksum { text: source.checksum.clone(), source: error };
    let expected: Digest = source.checksum.parse().map_err(wrong)?;
    let actual = if expected.algorithm() == file.digest.algorithm() {
        file.digest.clone()
    } else {
        let mut hasher = Hasher::new(expected.algorithm());
        let failed = |error| HttpError::File { url: source.url.clone(), source: error };
        let mut content = mirror.file(&file.digest).map_err(failed)?;
        io::copy(&mut content, &mut hasher).map_err(failed)?;
        hasher.finish()
    };
    if actual != expected {
        let expected = source.checksum.clone();
        return Err(HttpError::Digest { url: source.url.clone(), expected, actual });
    }
    Ok(())
}

/// A file as a tree of it alone.
pub(crate) struct FileTree {
    mirror: Mirror,
    name: String,
    file: KeptFile,
    _session: Session,
}

impl FileTree {
    /// The file's content.
    pub(crate) fn content_file(&self) -> io::Result<File> {
        self.mirror.file(&self.file.digest)
    }

    fn own(&self, path: &[u8]) -> Result<(), TreeError> {
        if path == self.name.as_bytes() { Ok(()) } else { Err(TreeError::not_found(path)) }
    }

    fn own_node(&self) -> Node {
        Node { kind: Kind::File, mode: MODE, mtime: (self.file.mtime_s, 0), ..Node::top() }
    }
}

impl Tree for FileTree {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, TreeError> {
        if path.is_empty() {
            return Ok(Some(Node::top()));
        }
        Ok(self.own(path).is_ok().then(|| self.own_node()))
    }

    fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        match directory {
            b"" => Ok(vec![(self.name.as_bytes().to_vec(), self.own_node())]),
            other => Err(TreeError::not_found(other)),
        }
    }

    fn open(&self, path: &[u8]) -> Result<File, TreeError> {
        self.own(path)?;
        self.content_file().map_err(TreeError::io("opening", path))
    }

    fn xattrs(&self, _path: &[u8]) -> Result<Xattrs, TreeError> {
        Ok(Vec::new())
    }

    fn content(&self, path: &[u8]) -> Result<Digest, TreeError> {
        self.own(path)?;
        Ok(self.file.digest.clone())
    }
}
