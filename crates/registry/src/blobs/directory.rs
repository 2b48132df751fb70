//! Blobs in a directory.
//!
//! A blob appears by rename after its bytes are on disk, and its commit answers after the rename is,
//! too.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_oci::{Algorithm, Digest};

use super::{BlobError, Blobs, FileRange, Later, Source, Upload, Writer};

/// Blobs below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Path>);

impl Directory {
    /// Opens or makes the directories.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        for sub in ["blobs", "blobs/sha256", "blobs/sha512", "uploads"] {
            let path = root.join(sub);
            fs::create_dir_all(&path).map_err(|source| failed("creating", &path, source))?;
        }
        for sub in ["", "blobs"] {
            sync_directory(&root.join(sub))?;
        }
        Ok(Self(root.into()))
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.family(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn family(&self, algorithm: Algorithm) -> PathBuf {
        self.0.join("blobs").join(algorithm.name())
    }

    fn upload(&self, id: &str) -> PathBuf {
        self.0.join("uploads").join(id)
    }

    /// A new upload; as [`Blobs::begin`].
    pub(crate) async fn writer(&self, id: &str, algorithm: Algorithm) -> Result<Writer, BlobError> {
        let (directory, path) = (self.clone(), self.upload(id));
        off_reactor(move || Writer::begin(directory, path, algorithm)).await
    }

    /// An upload of before; as [`Blobs::resume`].
    pub(crate) async fn writer_again(
        &self,
        id: &str,
        algorithm: Algorithm,
    ) -> Result<Writer, BlobError> {
        let (directory, path) = (self.clone(), self.upload(id));
        off_reactor(move || Writer::resume(directory, path, algorithm)).await
    }
}

impl Blobs for Directory {
    fn begin<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        Box::pin(async move { Ok(Box::new(self.writer(id, algorithm).await?) as Box<dyn Upload>) })
    }

    fn resume<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        Box::pin(
            async move { Ok(Box::new(self.writer_again(id, algorithm).await?) as Box<dyn Upload>) },
        )
    }

    fn discard<'a>(&'a self, id: &'a str) -> Later<'a, ()> {
        let path = self.upload(id);
        off_reactor(move || remove(&path))
    }

    fn read<'a>(
        &'a self,
        digest: &'a Digest,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Later<'a, Source> {
        // Opening waits for no disk once the directory is cached, and a thread costs more than it.
        let path = self.blob(digest);
        let opened = File::open(&path).map_err(|source| missing_or("opening", &path, source));
        let source =
            opened.map(|file| Source::File(FileRange { file, offset_bytes, length_bytes }));
        Box::pin(std::future::ready(source))
    }

    fn address<'a>(&'a self, _: &'a Digest) -> Later<'a, Option<String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn tail(&self, id: &str) -> Option<File> {
        File::open(self.upload(id)).ok()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Later<'a, ()> {
        let path = self.blob(digest);
        off_reactor(move || remove(&path))
    }

    fn list(&self) -> Later<'_, Vec<(Digest, u64)>> {
        let directory = self.clone();
        off_reactor(move || {
            let mut found = Vec::new();
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for (name, entry) in entries(&directory.family(algorithm))? {
                    let Ok(digest) = format!("{}:{name}", algorithm.name()).parse() else {
                        continue;
                    };
                    // One that vanishes meanwhile was removed: no error.
                    if let Ok(meta) = entry.metadata() {
                        found.push((digest, meta.len()));
                    }
                }
            }
            Ok(found)
        })
    }

    fn uploads(&self) -> Later<'_, Vec<String>> {
        let path = self.0.join("uploads");
        off_reactor(move || Ok(entries(&path)?.into_iter().map(|(name, _)| name).collect()))
    }

    fn check(&self) -> Later<'_, ()> {
        // No id of an upload looks like this, so nobody takes it for one.
        let path = self.upload(".health");
        off_reactor(move || {
            fs::write(&path, b"ok").map_err(|source| failed("writing", &path, source))?;
            remove(&path)
        })
    }
}

pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

fn entries(path: &Path) -> Result<Vec<(String, fs::DirEntry)>, BlobError> {
    let broken = |source| failed("listing", path, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry));
        }
    }
    Ok(found)
}

pub(super) fn remove(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("removing", path, source))
        }
        _ => Ok(()),
    }
}

pub(super) fn sync_directory(path: &Path) -> Result<(), BlobError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| failed("syncing", path, source))
}

pub(super) fn failed(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::Io { step, what: path.display().to_string(), source }
}

pub(super) fn missing_or(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::NotFound => BlobError::Missing(path.display().to_string()),
        _ => failed(step, path, source),
    }
}

/// Runs blocking work on a thread of its own.
pub(super) fn off_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Later<'static, T> {
    Box::pin(async move {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(gone) => {
                let source = io::Error::other(gone);
                Err(BlobError::Io { step: "working on", what: "blobs".to_owned(), source })
            }
        }
    })
}
