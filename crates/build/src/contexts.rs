//! Contexts: where a build's files come from.

use std::sync::{Arc, Mutex, PoisonError};

use gantry_build_proto::ContextSource;
use gantry_oci::Digest;

use crate::{
    ClientError, base,
    build::Build,
    graph::{GitSource, HttpSource},
    ops::{OpError, Shared, http},
    remote::Remote,
    reporter::Counter,
    streams,
    trees::{any::AnyTree, directory::DirectoryTree, inline::InlineTree, mirror::View, resolve},
};

/// Longest Dockerfile, and other files that frontends read.
const TEXT_MAX: u64 = 16 << 20;
/// The same, of what is read into memory at once.
const TEXT_LIMIT: usize = 16 << 20;

/// What a context turned out to be.
#[derive(Clone)]
pub(crate) enum Context {
    /// Files.
    Tree(AnyTree),
    /// An image, by its id.
    Image(Digest),
    /// A commit.
    Git(Arc<GitSource>, String),
    /// A Dockerfile alone.
    Text(Arc<str>),
}

/// Who is told of the bytes that a context sends, once it is known as which vertex it shows.
#[derive(Clone, Default)]
pub(crate) struct Transfer(Arc<Mutex<Option<Arc<Counter>>>>);

impl Transfer {
    /// From now on it is this one.
    pub(crate) fn tell(&self, counter: Arc<Counter>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counter);
    }

    /// Nothing more of it is sent.
    pub(crate) fn done(&self) {
        if let Some(counter) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            counter.done();
        }
    }

    fn add(&self, bytes: u64) {
        if let Some(counter) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            counter.add(bytes);
        }
    }
}

impl Build {
    /// An image as a context; one that is not here is pulled.
    async fn open_image(&self, name: &str, image: &str) -> Result<Digest, OpError> {
        let images = &self.inner.parts.images;
        let reference = match images.resolve_leased(image) {
            Ok((image, lease)) => {
                let id = image.id.clone();
                self.keep_image(image, lease);
                return Ok(id);
            }
            Err(error) => base::pullable(image).ok_or(gantry_image::ImageError::from(error))?,
        };
        let task = format!("[context {name}] load metadata for {}", reference.canonical());
        let task = self.reporter.task(&task);
        let pulled = base::pull(self, reference, None, task.id()).await;
        let id = task.end(pulled).map_err(|error| OpError::Registry(error.to_string()))?;
        self.image(id.as_str())?;
        Ok(id)
    }

    pub(crate) async fn open_context(&self, name: &str) -> Result<Context, OpError> {
        let source = self.request.contexts.get(name).cloned();
        match source.ok_or_else(|| OpError::NoContext(name.to_owned()))? {
            ContextSource::Client { identity } => {
                let mirror = &self.inner.mirror;
                let client = Arc::clone(&self.client);
                let transfer = self.transfer(name);
                let progress = Box::new(move |bytes| transfer.add(bytes));
                let view = View::begin(mirror, client, name, &identity, progress).await?;
                Ok(Context::Tree(AnyTree::View(Arc::new(view))))
            }
            ContextSource::ClientTar => self.take_client_tar(name).await,
            ContextSource::Taken(number) => match self.inner.taken.tree(number) {
                Some(tree) => Ok(Context::Tree(AnyTree::Here(tree))),
                None => Err(OpError::NoContext(name.to_owned())),
            },
            ContextSource::Git(address) => self.open_git(name, &address).await,
            ContextSource::Http(url) => self.open_http(name, url).await,
            ContextSource::Image(image) => self.open_image(name, &image).await.map(Context::Image),
            ContextSource::OciLayout { reference, .. } => {
                Ok(Context::Image(self.load_layout(name, &reference).await?))
            }
            ContextSource::Target(_) => Err(OpError::NotATree(name.to_owned())),
            ContextSource::Empty => {
                Ok(Context::Tree(AnyTree::Here(Arc::new(InlineTree::default()))))
            }
        }
    }

    async fn take_client_tar(&self, name: &str) -> Result<Context, OpError> {
        let failed = |source| OpError::Client { what: "reading the context".to_owned(), source };
        let content = self.client.tar(name).await.map_err(failed)?;
        self.take(streams::reader(content)).await
    }

    /// Takes in a tar for this build's time.
    async fn take(&self, tar: Box<dyn std::io::Read + Send>) -> Result<Context, OpError> {
        let tars = self.inner.taken.clone();
        let taken = streams::blocking(move || tars.take(tar)).await?;
        let tree = self.inner.taken.tree(taken.number());
        self.keep_taken(taken);
        match tree {
            Some(tree) => Ok(Context::Tree(AnyTree::Here(tree))),
            None => Err(OpError::NoContext(String::new())),
        }
    }

    async fn open_git(&self, name: &str, address: &str) -> Result<Context, OpError> {
        let Ok(Remote::Git(git)) = Remote::parse_context(address) else {
            return Err(OpError::NotATree(name.to_owned()));
        };
        let mut source = git.source();
        // `.git` of a context stays away unless it was asked for.
        source.keep_git_directory = git.keep_git_directory.unwrap_or(false);
        let commit =
            self.inner.fetcher.commit(&source, Some(&self.confidant()), &self.stop).await?;
        Ok(Context::Git(Arc::new(source), commit))
    }

    /// A tar behind a URL, or a Dockerfile.
    async fn open_http(&self, name: &str, url: String) -> Result<Context, OpError> {
        let transfer = self.transfer(name);
        let source = HttpSource { url, checksum: String::new(), name: "context".to_owned() };
        let (web, mirror) = (&self.inner.web, &self.inner.mirror);
        let fetched = http::fetch(web, mirror, &source, &|bytes| transfer.add(bytes)).await?;
        let file = fetched.content_file().map_err(OpError::io("opening a context"))?;
        let (archive, file) = streams::blocking(move || {
            crate::ops::unpack::is_archive(&file).map(|archive| (archive, file))
        })
        .await?;
        if archive {
            return self.take(Box::new(file)).await;
        }
        let read = streams::blocking(move || {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut std::io::Read::take(file, TEXT_MAX), &mut text)
                .map(|_| text)
        });
        let text = read.await.map_err(OpError::io("reading a Dockerfile"))?;
        Ok(Context::Text(text.into()))
    }

    /// A small file of a context; none if it has none.
    pub(crate) async fn context_file(
        &self,
        context: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, Shared> {
        let failed = |error: OpError| Arc::new(error);
        // The ignore file may hide what is asked for here.
        if let Some(ContextSource::Client { .. }) = self.request.contexts.get(context) {
            let path = path.trim_matches('/');
            let what = || format!("reading {path}");
            return match self.client.read(context, path).await {
                Err(ClientError::NotFound(_)) => Ok(None),
                Err(source) => Err(failed(OpError::Client { what: what(), source })),
                Ok(content) => match streams::read_all(content, TEXT_LIMIT).await {
                    Ok(read) => Ok(read),
                    Err(ClientError::NotFound(_)) => Ok(None),
                    Err(source) => Err(failed(OpError::Client { what: what(), source })),
                },
            };
        }
        let tree = match self.context(context).await? {
            Context::Text(text) => return Ok(Some(text.as_bytes().to_vec())),
            Context::Tree(tree) => tree,
            Context::Image(_) => return Ok(None),
            Context::Git(source, commit) => {
                let task = self.reporter.task("[internal] load git source");
                let layers = self.git_layers(&source, &commit, task.id()).await;
                let (layers, _) = task.end(layers)?;
                self.ensure(&layers).await.map_err(failed)?;
                let root = self.inner.parts.snapshots.mount_layers(&crate::build::ids(&layers));
                let root = root.map_err(|error| failed(error.into()))?;
                AnyTree::Here(Arc::new(DirectoryTree::new(root)))
            }
        };
        let path = path.to_owned();
        let read = tree.ask(move |tree| {
            let (path, _) = resolve(tree, path.as_bytes())?;
            let mut bytes = Vec::new();
            let mut file = std::io::Read::take(tree.open(&path)?, TEXT_MAX);
            std::io::Read::read_to_end(&mut file, &mut bytes)
                .map_err(crate::trees::TreeError::io("reading", &path))?;
            Ok(bytes)
        });
        match read.await.map_err(|error| failed(error.into()))? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(crate::trees::TreeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}
