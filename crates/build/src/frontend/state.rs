//! What a stage has come to: file system, configuration, variables.

use std::collections::BTreeMap;

use gantry_oci::{ContainerConfig, History, ImageConfig, Platform};

use super::{paths, variables::Variables};
use crate::graph::VertexId;

/// Comment of history entries, by which tools know who wrote them.
const COMMENT: &str = "buildkit.dockerfile.v0";
/// `PATH` where an image sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a history entry and its step take besides the text.
const ENTRY_BYTES: usize = 256;

/// A stage, so far.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Its file system.
    pub vertex: VertexId,
    /// The configuration of the image that it would become.
    pub image: ImageConfig,
    /// Variables of its steps: those of the image and the build arguments.
    pub variables: Variables,
    /// Build arguments in the order of their declarations, with the values that they were given.
    pub build_args: Vec<(String, String)>,
    /// Platform that its steps run on.
    pub platform: Platform,
    /// Which vertex made the layer of which history entry.
    pub layers: BTreeMap<usize, VertexId>,
    /// Time of history entries, RFC 3339.
    pub created: Option<String>,
    /// Roughly what all this takes in memory.
    pub bytes: usize,
}

impl State {
    /// A stage on top of an image's file system.
    pub(super) fn new(
        vertex: VertexId,
        image: ImageConfig,
        platform: Platform,
        created: Option<String>,
    ) -> Self {
        let mut state = Self {
            vertex,
            image,
            variables: Variables::default(),
            build_args: Vec::new(),
            platform,
            layers: BTreeMap::new(),
            created,
            bytes: 0,
        };
        let config = state.config();
        if !config.env.iter().any(|text| text.starts_with("PATH=")) {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        if !config.working_dir.is_empty() {
            config.working_dir = paths::absolute("/", &config.working_dir);
        }
        state.variables = Variables::of(&state.config().env);
        state
    }

    /// A stage on top of this one: triggers are for its children, not for theirs.
    pub(super) fn child(&self) -> Self {
        let mut child = self.clone();
        child.config().on_build.clear();
        child
    }

    /// The configuration of containers.
    pub(super) fn config(&mut self) -> &mut ContainerConfig {
        self.image.config.get_or_insert_default()
    }

    /// The working directory.
    pub(super) fn directory(&self) -> &str {
        let directory = self.image.config.as_ref().map(|config| config.working_dir.as_str());
        directory.filter(|directory| !directory.is_empty()).unwrap_or("/")
    }

    /// The user, as `USER` has it.
    pub(super) fn user(&self) -> &str {
        self.image.config.as_ref().map_or("", |config| &config.user)
    }

    /// A history entry of an instruction that makes no layer.
    pub(super) fn commit(&mut self, created_by: String) {
        // The entry, and what it says in the configuration and among the variables.
        self.bytes += 3 * created_by.len() + ENTRY_BYTES;
        self.image.history.push(History {
            created: self.created.clone(),
            created_by,
            comment: COMMENT.to_owned(),
            empty_layer: true,
            ..History::default()
        });
    }

    /// A history entry of an instruction whose layer `vertex` makes.
    pub(super) fn commit_layer(&mut self, created_by: String, vertex: VertexId) {
        self.vertex = vertex;
        self.layers.insert(self.image.history.len(), vertex);
        self.commit(created_by);
        if let Some(entry) = self.image.history.last_mut() {
            entry.empty_layer = false;
        }
    }
}

/// The configuration of `scratch`.
pub(super) fn scratch(platform: &Platform) -> ImageConfig {
    let config = ContainerConfig { working_dir: "/".to_owned(), ..ContainerConfig::default() };
    ImageConfig { config: Some(config), ..of_platform(platform) }
}

/// An image without anything but its platform.
pub(super) fn of_platform(platform: &Platform) -> ImageConfig {
    ImageConfig {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        os_version: platform.os_version.clone(),
        os_features: platform.os_features.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    }
}

/// What an image built upon another takes over of it: neither when it was made nor the container
/// that it was committed from.
pub(super) fn inherited(base: &ImageConfig) -> ImageConfig {
    let config = base.config.clone().unwrap_or_default();
    ImageConfig {
        author: base.author.clone(),
        config: Some(ContainerConfig {
            user: config.user,
            exposed_ports: config.exposed_ports,
            env: config.env,
            cmd: config.cmd,
            healthcheck: config.healthcheck,
            args_escaped: config.args_escaped,
            volumes: config.volumes,
            working_dir: config.working_dir,
            entrypoint: config.entrypoint,
            on_build: config.on_build,
            labels: config.labels,
            stop_signal: config.stop_signal,
            stop_timeout: config.stop_timeout,
            shell: config.shell,
            ..ContainerConfig::default()
        }),
        history: base.history.clone(),
        ..of_platform(&base.platform())
    }
}
