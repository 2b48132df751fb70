//! `docker commit`.

use gantry_api_types::container::ContainerConfig;
use gantry_image::Commit;
use gantry_oci::{Digest, Reference};

use crate::{Container, FileError};

/// What `POST /commit` asks for.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Name of the new image.
    pub reference: Option<Reference>,
    /// Author.
    pub author: String,
    /// Message.
    pub comment: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile lines.
    pub changes: Vec<String>,
    /// Configuration instead of the container's.
    pub config: Option<ContainerConfig>,
}

impl Container {
    /// Makes an image of the container; gives its id.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn commit(&self, options: CommitOptions) -> Result<Digest, FileError> {
        let record = self.cell.record();
        let shown_reference =
            options.reference.as_ref().map(ToString::to_string).unwrap_or_default();
        let config = merged(options.config.unwrap_or_default(), &record.config);
        let commit = Commit {
            container_id: record.id.clone(),
            parent: Some(record.image.clone()),
            config: image_config(&config),
            changes: options.changes,
            author: options.author,
            comment: options.comment.clone(),
            reference: options.reference,
            created_by: std::iter::once(record.path.as_str())
                .chain(record.args.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" "),
        };
        // A frozen container's files do not change under the archive.
        let frozen = options.pause && self.is_running() && self.pause().await.is_ok();
        let images = self.engine.parts().images.clone();
        let made = tokio::task::spawn_blocking(move || images.commit(&commit)).await;
        if frozen {
            self.unpause().await?;
        }
        let id = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        self.tell_more(
            "commit",
            &[
                ("comment", options.comment),
                ("imageID", id.to_string()),
                ("imageRef", shown_reference),
            ],
        );
        Ok(id)
    }
}

/// The request's configuration with the container's where it says nothing.
fn merged(mut given: ContainerConfig, own: &ContainerConfig) -> ContainerConfig {
    let keep = |given: &mut String, own: &String| {
        if given.is_empty() {
            given.clone_from(own);
        }
    };
    keep(&mut given.user, &own.user);
    keep(&mut given.working_dir, &own.working_dir);
    given.env = merged_env(&given.env, &own.env);
    for (name, value) in own.labels.iter().flatten() {
        given.labels.get_or_insert_default().entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (port, set) in &own.exposed_ports {
        given.exposed_ports.entry(port.clone()).or_insert_with(|| set.clone());
    }
    for (path, set) in own.volumes.iter().flatten() {
        given.volumes.get_or_insert_default().entry(path.clone()).or_insert_with(|| set.clone());
    }
    if given.entrypoint.is_none() {
        if given.cmd.is_none() {
            given.cmd.clone_from(&own.cmd);
        }
        given.entrypoint.clone_from(&own.entrypoint);
    }
    if given.healthcheck.is_none() {
        given.healthcheck.clone_from(&own.healthcheck);
    }
    keep(&mut given.stop_signal, &own.stop_signal);
    if given.shell.is_none() {
        given.shell.clone_from(&own.shell);
    }
    given
}

fn merged_env(given: &Option<Vec<String>>, own: &Option<Vec<String>>) -> Option<Vec<String>> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut merged = given.clone().unwrap_or_default();
    for entry in own.iter().flatten() {
        if !merged.iter().any(|there| name(there) == name(entry)) {
            merged.push(entry.clone());
        }
    }
    Some(merged)
}

/// The part of a container's configuration that an image keeps. Both have the same JSON names.
fn image_config(config: &ContainerConfig) -> gantry_oci::ContainerConfig {
    serde_json::to_value(config)
        .and_then(serde_json::from_value)
        .expect("an image's configuration has the fields of a container's")
}
