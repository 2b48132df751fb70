//! Images in OCI layouts of the client's (`oci-layout://`): what belongs to one is fetched and loaded
//! as an archive would be.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use gantry_archive::{Header, TarWriter};
use gantry_image::ImageError;
use gantry_oci::{Descriptor, Digest, Index, Manifest, Platform, image::media};
use tokio::sync::mpsc;

use crate::{build::Build, imports::blob_path, ops::OpError, streams};

/// Longest index or manifest.
const DOCUMENT_MAX: usize = 8 << 20;
/// How deep indexes may point at indexes.
const NESTING_MAX: usize = 4;
/// Pieces of the archive that wait for their reader.
const PIECES_MAX: usize = 8;

impl Build {
    /// Loads the image that a reference names in a context's layout; the last one if it is empty.
    pub(crate) async fn load_layout(
        &self,
        context: &str,
        reference: &str,
    ) -> Result<Digest, OpError> {
        let index: Index = parse("index.json", &self.read_small(context, "index.json").await?)?;
        let named = |descriptor: &&Descriptor| {
            let name = descriptor.annotations.get("org.opencontainers.image.ref.name");
            descriptor.digest.as_str() == reference || name.is_some_and(|name| name == reference)
        };
        let found = match reference {
            "" => index.manifests.last(),
            _ => index.manifests.iter().find(named),
        };
        let missing = || OpError::NoContext(format!("{context}:{reference}"));
        let mut descriptor = found.ok_or_else(missing)?.clone();
        let mut documents = Vec::new();
        for _ in 0..NESTING_MAX {
            let data = self.read_blob(context, &descriptor.digest).await?;
            if !media::is_index(&descriptor.media_type) {
                let manifest: Manifest = parse("manifest", &data)?;
                documents.push((descriptor.digest.clone(), data));
                return self.load(context, descriptor, manifest, documents).await;
            }
            let index: Index = parse("index", &data)?;
            let host = Platform::host();
            let fits = |descriptor: &&Descriptor| {
                descriptor.platform.as_ref().is_none_or(|platform| platform.matches(&host))
            };
            descriptor = index.manifests.iter().find(fits).ok_or_else(missing)?.clone();
        }
        Err(missing())
    }

    async fn load(
        &self,
        context: &str,
        descriptor: Descriptor,
        manifest: Manifest,
        documents: Vec<(Digest, Vec<u8>)>,
    ) -> Result<Digest, OpError> {
        let id = manifest.config.digest.clone();
        let images = self.inner.parts.images.clone();
        if images.get(&id).is_none() {
            let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(PIECES_MAX);
            let received = futures_util::stream::poll_fn(move |cx| {
                pieces.poll_recv(cx).map(|piece| piece.map(Ok))
            });
            let archive = streams::reader(Box::pin(received));
            let loader = images.clone();
            let loading = crate::blocking(move || loader.load(archive, &mut |_| {}));
            let sending = self.send_archive(context, &descriptor, &manifest, documents, sender);
            let (loaded, sent) = tokio::join!(loading, sending);
            sent?;
            loaded?;
        }
        let (image, lease) = images.resolve_leased(id.as_str()).map_err(ImageError::from)?;
        self.keep_image(image, lease);
        Ok(id)
    }

    /// Writes the archive of one image: its documents, its blobs as the client gives them, an index.
    async fn send_archive(
        &self,
        context: &str,
        descriptor: &Descriptor,
        manifest: &Manifest,
        documents: Vec<(Digest, Vec<u8>)>,
        sender: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), OpError> {
        let send = async |bytes: Vec<u8>| {
            let gone = |_| OpError::io("loading an image")(io::ErrorKind::BrokenPipe.into());
            sender.send(bytes).await.map_err(gone)
        };
        for (digest, data) in documents {
            send(entry(&blob_path(&digest), &data)?).await?;
        }
        for blob in [&manifest.config].into_iter().chain(&manifest.layers) {
            let path = blob_path(&blob.digest);
            send(head(&path, blob.size)?).await?;
            let content = self.client.read(context, &path).await;
            let mut content = content.map_err(|source| client(&path, source))?;
            let mut left = blob.size;
            while let Some(piece) = futures_util::StreamExt::next(&mut content).await {
                let piece = piece.map_err(|source| client(&path, source))?;
                // More than was promised is another entry to whoever reads the archive.
                left = left.checked_sub(piece.len() as u64).ok_or_else(|| wrong_size(&path))?;
                send(piece).await?;
            }
            if left > 0 {
                return Err(wrong_size(&path));
            }
            send(vec![0; padding(blob.size)]).await?;
        }
        let index = Index {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            // The image is to get no name of the layout's.
            manifests: vec![Descriptor { annotations: BTreeMap::new(), ..descriptor.clone() }],
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).map_err(document("index"))?;
        send(entry("index.json", &index)?).await?;
        send(vec![0; 1024]).await
    }

    async fn read_blob(&self, context: &str, digest: &Digest) -> Result<Vec<u8>, OpError> {
        let path = blob_path(digest);
        let data = self.read_small(context, &path).await?;
        digest.verify(&data).map_err(|source| ImageError::Digest { name: path, source })?;
        Ok(data)
    }

    async fn read_small(&self, context: &str, path: &str) -> Result<Vec<u8>, OpError> {
        let failed = |source| client(path, source);
        let content = self.client.read(context, path).await.map_err(failed)?;
        let data = streams::read_all(content, DOCUMENT_MAX).await.map_err(failed)?;
        data.ok_or_else(|| ImageError::TooLarge(path.to_owned()).into())
    }
}

fn client(path: &str, source: crate::ClientError) -> OpError {
    OpError::Client { what: format!("reading {path} of a layout"), source }
}

fn wrong_size(path: &str) -> OpError {
    let text = format!("{path} is not as long as its descriptor says");
    OpError::io("reading a layout")(io::Error::new(io::ErrorKind::InvalidData, text))
}

fn parse<T: for<'de> serde::Deserialize<'de>>(name: &str, data: &[u8]) -> Result<T, OpError> {
    serde_json::from_slice(data).map_err(document(name))
}

fn document(name: &str) -> impl Fn(serde_json::Error) -> OpError {
    let name = name.to_owned();
    move |source| ImageError::Document { name: name.clone(), source }.into()
}

/// A whole entry of a tar.
fn entry(path: &str, data: &[u8]) -> Result<Vec<u8>, OpError> {
    let mut bytes = head(path, data.len() as u64)?;
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len() + padding(data.len() as u64), 0);
    Ok(bytes)
}

/// An entry's header: what a tar of it has before its content.
fn head(path: &str, size: u64) -> Result<Vec<u8>, OpError> {
    struct Head(Vec<u8>);
    impl Write for Head {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut bytes = Head(Vec::new());
    // The content is stopped at its first byte, since it comes from elsewhere.
    let stopped = TarWriter::new(&mut bytes)
        .written(&Header::file(path.as_bytes(), size), |_| Err(io::Error::other("header only")));
    match stopped {
        Err(_) => Ok(bytes.0),
        Ok(()) => Err(OpError::Graph("an entry without content")),
    }
}

fn padding(size: u64) -> usize {
    usize::try_from((512 - size % 512) % 512).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gantry_archive::Reader;

    use super::*;

    #[test]
    fn entries_are_those_of_a_tar() {
        let mut tar = entry("a/b", b"hello").unwrap();
        tar.extend(head("c", 1024).unwrap());
        tar.extend(vec![7; 1024]);
        tar.extend(vec![0; 1024]);
        let mut reader = Reader::new(&tar[..]);
        let first = reader.next().unwrap().unwrap();
        assert_eq!((first.display_name().as_str(), first.size), ("a/b", 5));
        let second = reader.next().unwrap().unwrap();
        assert_eq!((second.display_name().as_str(), second.size), ("c", 1024));
        assert!(reader.next().unwrap().is_none());
    }
}
