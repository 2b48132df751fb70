//! Blobs in a bucket. What comes of a blob is a file on the local disk until it is whole and its
//! digest is right: then it goes to the bucket, and a commit answers when the bucket has it.

use std::{fs::File, path::Path as FilePath, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use gantry_oci::{Algorithm, Digest};
use hyper::Method;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path, signer::Signer};

use super::{
    Bucket, broken, failed,
    transfer::{Sent, Transfers},
};
use crate::{
    blobs::{BlobError, Blobs, Directory, Later, Source, Upload, Writer},
    clock::now_s,
};

/// How long a client may begin to use a URL that leads it to the bucket.
const URL_LIFE: Duration = Duration::from_secs(1200);
/// The object that health is tried on.
const HEALTH: &str = "health";
/// How long the bucket may take for it.
const HEALTH_MAX: Duration = Duration::from_secs(10);

/// Blobs in a bucket, uploads in a directory.
#[derive(Debug)]
pub(crate) struct BucketBlobs {
    bucket: Arc<Bucket>,
    transfers: Arc<Transfers>,
    spool: Directory,
    /// Clients are led to the bucket.
    redirect: bool,
}

impl BucketBlobs {
    /// Blobs in `bucket`, uploads below `root`.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) fn open(
        bucket: Arc<Bucket>,
        root: &FilePath,
        redirect: bool,
    ) -> Result<Self, BlobError> {
        let transfers = Arc::new(Transfers::new(Arc::clone(&bucket)));
        Ok(Self { bucket, transfers, spool: Directory::open(root)?, redirect })
    }

    fn key(&self, digest: &Digest) -> Path {
        self.bucket.key(&name(digest))
    }

    fn sending(&self, writer: Writer) -> Box<dyn Upload> {
        let (bucket, transfers) = (Arc::clone(&self.bucket), Arc::clone(&self.transfers));
        Box::new(Sending { bucket, transfers, writer, ready: None })
    }
}

fn name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

impl Blobs for BucketBlobs {
    fn begin<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        Box::pin(async move { Ok(self.sending(self.spool.writer(id, algorithm).await?)) })
    }

    fn resume<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        Box::pin(async move { Ok(self.sending(self.spool.writer_again(id, algorithm).await?)) })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Later<'a, ()> {
        self.spool.discard(id)
    }

    fn read<'a>(
        &'a self,
        digest: &'a Digest,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Later<'a, Source> {
        Box::pin(async move {
            if length_bytes == 0 {
                return Ok(Source::Stream(futures_util::stream::empty().boxed()));
            }
            let key = self.key(digest);
            let range = GetRange::Bounded(offset_bytes..offset_bytes + length_bytes);
            let options = GetOptions { range: Some(range), ..GetOptions::default() };
            match self.bucket.store.get_opts(&key, options).await {
                Ok(found) => Ok(Source::Stream(found.into_stream().map_err(broken).boxed())),
                Err(object_store::Error::NotFound { .. }) => {
                    Err(BlobError::Missing(key.to_string()))
                }
                Err(source) => Err(failed("reading", &key, source)),
            }
        })
    }

    fn address<'a>(&'a self, digest: &'a Digest) -> Later<'a, Option<String>> {
        Box::pin(async move {
            if !self.redirect {
                return Ok(None);
            }
            let key = self.key(digest);
            let signed = self.bucket.store.signed_url(Method::GET, &key, URL_LIFE).await;
            Ok(Some(signed.map_err(|source| failed("signing", &key, source))?.to_string()))
        })
    }

    fn tail(&self, id: &str) -> Option<File> {
        self.spool.tail(id)
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Later<'a, ()> {
        Box::pin(async move { self.bucket.remove(&name(digest)).await })
    }

    fn list(&self) -> Later<'_, Vec<(Digest, u64)>> {
        Box::pin(async move {
            let all = self.bucket.list("blobs");
            let digests = all.try_filter_map(async |(name, meta)| {
                let parts = name.strip_prefix("blobs/").and_then(|rest| rest.split_once('/'));
                let digest = parts.and_then(|(algorithm, hex)| {
                    format!("{algorithm}:{hex}").parse::<Digest>().ok()
                });
                Ok(digest.map(|digest| (digest, meta.size)))
            });
            digests.try_collect().await
        })
    }

    fn uploads(&self) -> Later<'_, Vec<String>> {
        self.spool.uploads()
    }

    fn check(&self) -> Later<'_, ()> {
        Box::pin(async move {
            self.spool.check().await?;
            let bytes = Bytes::from(now_s().to_string());
            let tried = tokio::time::timeout(HEALTH_MAX, async {
                self.bucket.put(HEALTH, bytes, "text/plain").await?;
                self.bucket.get(HEALTH).await
            });
            match tried.await {
                Ok(Ok(Some(_))) => Ok(()),
                Ok(Ok(None)) => Err(BlobError::Missing(self.bucket.key(HEALTH).to_string())),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(BlobError::Silent(self.bucket.label().to_owned())),
            }
        })
    }
}

/// A blob on its way in.
struct Sending {
    bucket: Arc<Bucket>,
    transfers: Arc<Transfers>,
    writer: Writer,
    /// What was checked to be this blob, and its parts that the bucket has, if it has parts.
    ready: Option<(Digest, Option<Sent>)>,
}

impl Upload for Sending {
    fn size_bytes(&self) -> u64 {
        self.writer.size_bytes()
    }

    fn write(&mut self, pieces: Vec<Bytes>) -> Later<'_, ()> {
        self.writer.write(pieces)
    }

    fn digest(&mut self) -> Result<Digest, BlobError> {
        self.writer.digest()
    }

    fn prepare<'a>(&'a mut self, digest: &'a Digest) -> Later<'a, ()> {
        Box::pin(async move {
            let file = self.writer.verified(digest).await?;
            let key = self.bucket.key(&name(digest));
            let sent = self.transfers.send(&file, self.writer.size_bytes(), &key).await?;
            self.ready = Some((digest.clone(), sent));
            Ok(())
        })
    }

    fn commit<'a>(&'a mut self, digest: &'a Digest) -> Later<'a, ()> {
        Box::pin(async move {
            if self.ready.as_ref().is_none_or(|(ready, _)| ready != digest) {
                self.prepare(digest).await?;
            }
            let key = self.bucket.key(&name(digest));
            match self.ready.take().and_then(|(_, sent)| sent) {
                Some(sent) => self.transfers.complete(sent, &key).await?,
                None => {
                    let file = self.writer.file()?;
                    self.transfers.put(&file, self.writer.size_bytes(), &key).await?;
                }
            }
            self.writer.discard().await
        })
    }
}
