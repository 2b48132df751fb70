//! How a text becomes a graph: the seam between the builder and its frontends.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gantry_build_proto::{BuildRequest, Failure, Place, Warning};
use gantry_oci::{Digest, ImageConfig, Platform};

use crate::graph::{Graph, Target, VertexId};

/// Turns a text into what is to be built. It does no work itself: what it must know of images and
/// contexts it asks of [`Sources`].
pub trait Frontend: Send + Sync {
    /// Plans a build.
    ///
    /// # Errors
    /// Why it cannot be built, with the place in the text and what to do about it.
    fn plan<'a>(
        &'a self,
        input: Input<'a>,
        sources: &'a dyn Sources,
    ) -> BoxFuture<'a, Result<Plan, Box<Failure>>>;
}

/// What is to be planned.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What errors call the text, such as `Dockerfile`.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// Everything else that was asked for.
    pub request: &'a BuildRequest,
}

/// What a frontend may ask while it plans. Every question is told to the client as a vertex of its
/// own, such as `[internal] load metadata for docker.io/library/debian:12`.
pub trait Sources: Send + Sync {
    /// The image that a name stands for, looked up in its registry if it is not here or the request
    /// says `pull`.
    fn image<'a>(
        &'a self,
        name: &'a str,
        platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>>;

    /// The image that a context stands for, of [`ContextSource::Image`] or `OciLayout`.
    ///
    /// [`ContextSource::Image`]: gantry_build_proto::ContextSource::Image
    fn context_image<'a>(
        &'a self,
        context: &'a str,
        platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>>;

    /// A file of a context (of any kind but images), such as its ignore file; none if it has none.
    /// At most a few MiB are read.
    fn file<'a>(
        &'a self,
        context: &'a str,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, SourceError>>;

    /// Whether programs of this platform run here: it is the machine's own, or binfmt_misc has a
    /// handler for it.
    fn runs(&self, platform: &Platform) -> bool;
}

/// An image to build upon.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its id, for [`ImageSource`](crate::graph::ImageSource).
    pub id: Digest,
    /// Its configuration.
    pub config: Arc<ImageConfig>,
}

/// Why a source does not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// There is no such image: Docker's words.
    #[error("{0}")]
    NoImage(String),
    /// The image is here, but not for this platform.
    #[error("{name}: no match for platform {platform}")]
    Platform {
        /// The image.
        name: String,
        /// The platform asked for.
        platform: String,
    },
    /// A context or a file of it could not be read.
    #[error("{0}")]
    Context(String),
    /// The build was cancelled.
    #[error("context canceled")]
    Cancelled,
}

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// All operations.
    pub graph: Graph,
    /// What is wanted of them: one for each platform. Empty if only the document was asked for.
    pub targets: Vec<Target>,
    /// The instructions of the stages that are built, in the text's order, also those that need no
    /// work: the classic builder's steps.
    pub steps: Vec<PlannedStep>,
    /// What the rules found.
    pub warnings: Vec<Warning>,
    /// The answer to another request than a build.
    pub document: Option<serde_json::Value>,
}

/// An instruction.
#[derive(Debug, Clone, Default)]
pub struct PlannedStep {
    /// As written, on one line.
    pub instruction: String,
    /// The vertex that does its work; none if it only changes the configuration.
    pub vertex: Option<VertexId>,
    /// Where it was written.
    pub place: Option<Place>,
    /// It is a trigger of the base (`ONBUILD`), which no line of this text is.
    pub trigger: bool,
}
