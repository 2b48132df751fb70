//! What frontends may ask while they plan.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gantry_image::Image;
use gantry_oci::{Platform, Reference};

use crate::{
    base,
    build::Build,
    contexts::Context,
    ops::Shared,
    plan::{BaseImage, SourceError, Sources},
};

/// Fewest digits of an id that stand for an image in a Dockerfile: as many as lists show.
const ID_DIGITS_MIN: usize = 12;

/// Answers from the store of images and the build's contexts.
pub(crate) struct Resolver {
    build: Arc<Build>,
}

impl Resolver {
    pub(crate) fn new(build: Arc<Build>) -> Self {
        Self { build }
    }

    fn find(&self, name: &str, platform: Option<&Platform>) -> Result<BaseImage, SourceError> {
        let images = &self.build.inner.parts.images;
        let (image, lease) = images.resolve_leased(name).map_err(|error| match error {
            gantry_image::ResolveError::NotFound(_) => {
                SourceError::NoImage(format!("{}: not found", canonical(name)))
            }
            error => SourceError::NoImage(error.to_string()),
        })?;
        if is_chance(name, &image) {
            return Err(SourceError::NoImage(format!("{}: not found", canonical(name))));
        }
        if let Some(wanted) = platform
            && !image.config.platform().matches(wanted)
        {
            let (name, platform) = (canonical(name), wanted.to_string());
            return Err(SourceError::Platform { name, platform });
        }
        let base = BaseImage { id: image.id.clone(), config: Arc::new(image.config.clone()) };
        self.build.keep_image(image, lease);
        Ok(base)
    }

    /// The image as its registry has it.
    async fn pulled(
        &self,
        reference: Reference,
        platform: Option<&Platform>,
        vertex: u32,
    ) -> Result<BaseImage, SourceError> {
        let id = base::pull(&self.build, reference, platform, vertex).await?;
        self.find(&id.to_string(), platform)
    }

    async fn open(&self, context: &str) -> Result<Context, SourceError> {
        self.build.context(context).await.map_err(source_error)
    }
}

impl Sources for Resolver {
    fn image<'a>(
        &'a self,
        name: &'a str,
        platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>> {
        Box::pin(async move {
            let shown = canonical(name);
            let task = self.build.reporter.task(&format!("[internal] load metadata for {shown}"));
            let found = match self.find(name, platform) {
                Ok(found) if !self.build.request.pull => Ok(found),
                // What is here by an id or under a name of this machine's own is in no registry.
                here => match base::pullable(name) {
                    Some(reference) => self.pulled(reference, platform, task.id()).await,
                    None => here,
                },
            };
            task.end(found)
        })
    }

    fn context_image<'a>(
        &'a self,
        context: &'a str,
        platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>> {
        Box::pin(async move {
            match self.open(context).await? {
                Context::Image(id) => self.find(id.as_str(), platform),
                _ => Err(SourceError::Context(format!("context {context:?} is no image"))),
            }
        })
    }

    fn file<'a>(
        &'a self,
        context: &'a str,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, SourceError>> {
        Box::pin(async move {
            let task = self.build.reporter.task(&format!("[internal] load {path}"));
            let read = self.build.context_file(context, path).await;
            task.end(read.map_err(source_error))
        })
    }

    fn runs(&self, platform: &Platform) -> bool {
        let host = Platform::host();
        let native = host.matches(platform)
            || host.architecture == "amd64" && platform.architecture == "386";
        native || platform.os == "linux" && has_handler(&platform.architecture)
    }
}

/// Whether an image was found by so few digits of its id that it is not what was meant: `FROM b`
/// must not come to another image wherever some id happens to begin so.
fn is_chance(name: &str, image: &Image) -> bool {
    let is_named = |reference: Reference| image.names.contains(&reference.or_latest());
    name.len() < ID_DIGITS_MIN
        && image.id.hex().starts_with(name)
        && !name.parse().is_ok_and(is_named)
}

/// Whether binfmt_misc knows who runs programs of an architecture, here in Go's words.
fn has_handler(architecture: &str) -> bool {
    let name = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        "mips64le" => "mips64el",
        "mipsle" => "mipsel",
        "loong64" => "loongarch64",
        other => other,
    };
    let folder = std::path::Path::new("/proc/sys/fs/binfmt_misc");
    let enabled = |handler: String| {
        std::fs::read_to_string(folder.join(handler)).is_ok_and(|text| text.starts_with("enabled"))
    };
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && (enabled(format!("qemu-{name}")) || enabled(name.to_owned()))
}

fn source_error(error: Shared) -> SourceError {
    match error.is_cancelled() {
        true => SourceError::Cancelled,
        false => SourceError::Context(gantry_fault::chain(&*error)),
    }
}

/// The full name of an image; an id stays as it is.
fn canonical(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.or_latest().canonical())
}
