//! `manifest push`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_distribution::{At, FileSource, Sink, Source};
use gantry_oci::{Algorithm, Descriptor, Digest, Hasher, Manifest, Reference};

use super::{Entry, Lists, Remote, index_of, named, remote::failed};
use crate::app::{Call, Failure, Outcome};
use crate::output::out;

/// `manifest push`.
pub(crate) async fn push(call: &Call<'_>) -> Outcome {
    let lists = Lists::of(&call.app.config);
    let list = named(&call.args[0])?;
    let entries = lists.entries(&list)?;
    if entries.is_empty() {
        return Err(format!("{} not found", list.canonical()).into());
    }
    let target = Remote::of(call, &list).await?;
    for entry in &entries {
        check(entry, &list)?;
    }
    for entry in &entries {
        bring(call, &target, &list, entry).await?;
    }
    let index = index_of(&entries);
    let bytes = serde_json::to_vec_pretty(&index).map_err(|error| error.to_string())?;
    let at = At::of(&list);
    let pushed =
        target.0.push_manifest(bytes.into(), &index.media_type, &at).await.map_err(failed)?;
    if call.flags.is_on("purge") {
        lists.remove(&list)?;
    }
    out(format!("{}\n", pushed.digest))?;
    Ok(0)
}

fn check(entry: &Entry, list: &Reference) -> Result<(), Failure> {
    let platform = entry.descriptor.platform.clone().unwrap_or_default();
    if platform.os.is_empty() || platform.architecture.is_empty() {
        return Err(format!(
            "manifest {} must have an OS and Architecture to be pushed to a registry",
            entry.name
        )
        .into());
    }
    if entry.reference()?.domain() != list.domain() {
        return Err("cannot use source images from a different registry than the target image: \
                    push them there first"
            .into());
    }
    Ok(())
}

/// Brings a manifest and its blobs into the list's repository, if they are in another.
async fn bring(
    call: &Call<'_>,
    target: &Remote,
    list: &Reference,
    entry: &Entry,
) -> Result<(), Failure> {
    let from = entry.reference()?;
    if from.path() == list.path() {
        return Ok(());
    }
    let manifest: Manifest =
        serde_json::from_slice(&entry.raw).map_err(|error| error.to_string())?;
    let source = Remote::of(call, &from).await?;
    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
        mount(target, &source, &from, blob).await?;
    }
    let at = At::Digest(entry.descriptor.digest.clone());
    let kind = &entry.descriptor.media_type;
    let raw = bytes::Bytes::copy_from_slice(&entry.raw);
    let pushed = target.0.push_manifest(raw, kind, &at).await.map_err(failed)?;
    let name = list.with_digest(pushed.digest.clone()).canonical();
    out(format!("Pushed ref {name} with digest: {}\n", pushed.digest))?;
    Ok(())
}

/// Mounts a blob; from a registry that does not mount it goes through here.
async fn mount(
    target: &Remote,
    source: &Remote,
    from: &Reference,
    blob: &Descriptor,
) -> Result<(), Failure> {
    let mounts = [from.path().to_owned()];
    let unread = Arc::new(AtomicBool::new(true));
    let tried = target.0.push_blob(Nothing(Arc::clone(&unread)), Some(blob), &mounts).await;
    match tried {
        Ok(_) => return Ok(()),
        Err(error) if unread.load(Ordering::Relaxed) => return Err(failed(error)),
        Err(_) => {}
    }
    let path =
        std::env::temp_dir().join(format!("blob-{}-{}", blob.digest.hex(), std::process::id()));
    let file = Spool::new(path)?;
    let path = file.path.clone();
    // Dropped at the end: it takes its file with it.
    let _whole = source.0.blob(blob, file).await.map_err(failed)?;
    target.0.push_blob(FileSource(path), Some(blob), &[]).await.map_err(failed)?;
    Ok(())
}

/// A blob that is not here: it can only be there already, or be mounted.
struct Nothing(Arc<AtomicBool>);

impl Source for Nothing {
    fn open(&self, _: u64) -> io::Result<Box<dyn Read + Send>> {
        self.0.store(false, Ordering::Relaxed);
        Err(io::Error::other("it is not here"))
    }

    fn identity(&self) -> io::Result<(Digest, u64)> {
        Err(io::Error::other("it is not here"))
    }
}

/// A blob on its way through here.
struct Spool {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Spool {
    fn new(path: PathBuf) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, written: 0 })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Sink for Spool {
    fn offset(&self) -> u64 {
        self.written
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.written)?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.written = 0;
        self.file.set_len(0)
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        io::copy(&mut File::open(&self.path)?, &mut hasher)?;
        Ok(hasher.finish())
    }
}
