//! Images and named contexts: what stages need that is no stage.

use std::{collections::BTreeMap, sync::Arc};

use gantry_build_proto::ContextSource;
use gantry_dockerfile::Span;
use gantry_oci::{ImageConfig, Platform, Reference, ReferenceError};

use super::{
    error::{At, PlanError},
    stages::{SCRATCH, Table},
};
use crate::{
    plan::{BaseImage, Sources},
    remote::{Git, Remote},
};

/// Names that never stand for a named context.
const RESERVED: [&str; 2] = [SCRATCH, "context"];

/// Something that a stage needs and that is no stage.
#[derive(Debug)]
pub(super) struct Foreign {
    /// As written.
    pub name: String,
    /// Platform that it is to be of, if the file says so.
    pub platform: Option<Platform>,
    /// Where it is first named.
    pub span: Span,
    /// What it is, once that is known.
    pub resolved: Option<Resolved>,
}

/// What a foreign name stands for.
#[derive(Debug, Clone)]
pub(super) enum Resolved {
    /// An image.
    Image(Image),
    /// Files of a named context, with its key.
    Files(String),
    /// A git repository, with the context's key.
    Git(String, Box<Git>),
    /// A stage of this file.
    Stage(usize),
    /// Nothing.
    Empty,
}

/// An image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// Its id.
    pub id: String,
    /// What it is called in full.
    pub name: String,
    /// The named context that it stands for, if it does.
    pub context: Option<String>,
    /// Its configuration.
    pub config: Arc<ImageConfig>,
}

/// Named contexts by the names that they are found by.
#[derive(Debug, Default)]
pub(super) struct Contexts<'r> {
    by_name: BTreeMap<String, (&'r str, &'r ContextSource)>,
}

impl<'r> Contexts<'r> {
    /// Of a request.
    ///
    /// # Errors
    /// When a name is none.
    pub(super) fn of(contexts: &'r BTreeMap<String, ContextSource>) -> Result<Self, At> {
        let mut by_name = BTreeMap::new();
        for (key, source) in contexts.iter().filter(|(key, _)| !key.is_empty()) {
            // `name::platform` is for one platform.
            let (name, platform) = match key.split_once("::") {
                Some((name, platform)) => (name, format!("::{platform}")),
                None => (key.as_str(), String::new()),
            };
            let name = normal(name)
                .map_err(|source| PlanError::ContextName { name: key.clone(), source })?;
            by_name.insert(format!("{name}{platform}"), (key.as_str(), source));
        }
        Ok(Self { by_name })
    }

    /// The context of this name, with the key that the request has it under.
    pub(super) fn find(
        &self,
        name: &str,
        platform: &Platform,
    ) -> Option<(&'r str, &'r ContextSource)> {
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return None;
        }
        let name = normal(name).ok()?;
        let special = self.by_name.get(&format!("{name}::{platform}"));
        special.or_else(|| self.by_name.get(&name)).copied()
    }
}

/// Names that mean the same image are the same.
fn normal(name: &str) -> Result<String, ReferenceError> {
    let reference: Reference = name.parse()?;
    let familiar = reference.familiar();
    Ok(familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned())
}

/// Who looks foreign names up.
pub(super) struct Resolver<'r> {
    /// Named contexts.
    pub contexts: &'r Contexts<'r>,
    /// The builder.
    pub sources: &'r dyn Sources,
    /// Platform to build for.
    pub target: &'r Platform,
    /// Nobody asked for a platform: an image of another one is as good.
    pub implicit: bool,
}

impl Resolver<'_> {
    /// What a name stands for.
    ///
    /// # Errors
    /// When there is no such image or context.
    pub(super) async fn resolve(
        &self,
        foreign: &Foreign,
        table: &Table<'_>,
    ) -> Result<Resolved, At> {
        let platform = foreign.platform.as_ref().unwrap_or(self.target);
        match self.contexts.find(&foreign.name, platform) {
            Some((key, source)) => self.context(key, source, platform, table).await,
            None => self.image(foreign, table).await,
        }
        .map_err(|at| at.or_at(foreign.span))
    }

    /// What a named context is.
    pub(super) async fn context(
        &self,
        key: &str,
        source: &ContextSource,
        platform: &Platform,
        table: &Table<'_>,
    ) -> Result<Resolved, At> {
        let name = match source {
            ContextSource::Git(text) => {
                return match Remote::parse_context(text).map_err(PlanError::Remote)? {
                    Remote::Git(git) => Ok(Resolved::Git(key.to_owned(), Box::new(git))),
                    _ => Err(PlanError::GitContext(text.clone()).into()),
                };
            }
            ContextSource::Empty => return Ok(Resolved::Empty),
            ContextSource::Target(stage) => return table.target(stage).map(Resolved::Stage),
            ContextSource::Image(name) if name == SCRATCH => return Ok(Resolved::Empty),
            ContextSource::Image(name) => name.clone(),
            ContextSource::OciLayout { reference, .. } => reference.clone(),
            _ => return Ok(Resolved::Files(key.to_owned())),
        };
        let found = self.sources.context_image(key, Some(platform)).await;
        let found = found.map_err(|source| PlanError::Source { name: key.to_owned(), source })?;
        Ok(image(found, name, Some(key.to_owned())))
    }

    async fn image(&self, foreign: &Foreign, table: &Table<'_>) -> Result<Resolved, At> {
        let name = &foreign.name;
        let full = match name.parse::<Reference>() {
            Ok(reference) => reference.or_latest().canonical(),
            // An image that is here can be named by its id.
            Err(ReferenceError::BareId(_)) => name.clone(),
            Err(_) if name.starts_with("sha256:") => name.clone(),
            Err(source) => {
                return Err(PlanError::BaseName { name: name.clone(), source }.into());
            }
        };
        let platform = match &foreign.platform {
            Some(platform) => Some(platform),
            None => (!self.implicit).then_some(self.target),
        };
        let found = self.sources.image(name, platform).await.map_err(|source| {
            let names = table.entries.iter().map(|entry| entry.shown.as_str());
            let near = gantry_dockerfile::nearest(name, names);
            At::from(PlanError::Source { name: name.clone(), source }).did_you_mean(near)
        })?;
        Ok(image(found, full, None))
    }
}

fn image(found: BaseImage, name: String, context: Option<String>) -> Resolved {
    Resolved::Image(Image { id: found.id.to_string(), name, context, config: found.config })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_found_by_every_name_of_the_same_image() {
        let contexts: BTreeMap<_, _> = [
            ("", ContextSource::Empty),
            ("alpine", ContextSource::Image("a".to_owned())),
            ("docker.io/library/debian:12", ContextSource::Image("d".to_owned())),
            ("x::linux/arm64", ContextSource::Image("arm".to_owned())),
            ("x", ContextSource::Image("other".to_owned())),
        ]
        .into_iter()
        .map(|(name, source)| (name.to_owned(), source))
        .collect();
        let contexts = Contexts::of(&contexts).unwrap();
        let (amd64, arm64) =
            ("linux/amd64".parse().unwrap(), "linux/arm64".parse::<Platform>().unwrap());
        for (name, platform, want) in [
            ("alpine", &amd64, Some("alpine")),
            ("docker.io/library/alpine:latest", &amd64, Some("alpine")),
            ("alpine:3", &amd64, None),
            ("debian:12", &amd64, Some("docker.io/library/debian:12")),
            ("x", &amd64, Some("x")),
            ("x", &arm64, Some("x::linux/arm64")),
            ("scratch", &amd64, None),
            ("UPPER", &amd64, None),
        ] {
            assert_eq!(contexts.find(name, platform).map(|found| found.0), want, "{name}");
        }
        let bad = BTreeMap::from([("A B".to_owned(), ContextSource::Empty)]);
        assert!(Contexts::of(&bad).is_err());
    }
}
