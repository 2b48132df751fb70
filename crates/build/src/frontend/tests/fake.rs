//! Images that tests build upon.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use gantry_oci::{ContainerConfig, Hasher, History, ImageConfig, Platform, RootFs};

use crate::plan::{BaseImage, SourceError, Sources};

/// Images by name; programs of arm run here, those of s390x do not.
pub(super) struct Images;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn config(name: &str) -> Option<ContainerConfig> {
    let plain = ContainerConfig {
        env: texts(&["PATH=/bin"]),
        cmd: Some(texts(&["sh"])),
        hostname: "left behind".to_owned(),
        ..ContainerConfig::default()
    };
    Some(match name {
        "base" | "foreign" => plain,
        "bare" => ContainerConfig::default(),
        "triggers" => {
            ContainerConfig { on_build: texts(&["RUN echo triggered", "COPY . /app"]), ..plain }
        }
        "trigger-stage" => {
            ContainerConfig { on_build: texts(&["COPY --from=assets /a /b"]), ..plain }
        }
        "bad-trigger" => ContainerConfig { on_build: texts(&["FROM x"]), ..plain },
        "full" => ContainerConfig {
            user: "app".to_owned(),
            working_dir: "/srv/./x/".to_owned(),
            entrypoint: Some(texts(&["/entry"])),
            labels: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
            shell: texts(&["/bin/ash", "-c"]),
            ..plain
        },
        _ => return None,
    })
}

fn find(name: &str) -> Result<BaseImage, SourceError> {
    let short = name.split([':', '@']).next().unwrap_or_default();
    let config = config(short).ok_or_else(|| {
        SourceError::NoImage(format!(
            "pull access denied for {name}, repository does not exist or may require \
             'docker login'"
        ))
    })?;
    let mut hasher = Hasher::sha256();
    hasher.update(short.as_bytes());
    let layer = hasher.finish();
    let architecture = if short == "foreign" { "arm64" } else { &Platform::host().architecture };
    let config = ImageConfig {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        comment: "left behind".to_owned(),
        created: Some("2020-01-01T00:00:00Z".to_owned()),
        config: Some(config),
        history: vec![History { created_by: format!("made {short}"), ..History::default() }],
        rootfs: RootFs { diff_ids: vec![layer.clone()], ..RootFs::default() },
        ..ImageConfig::default()
    };
    Ok(BaseImage { id: layer, config: Arc::new(config) })
}

impl Sources for Images {
    fn image<'a>(
        &'a self,
        name: &'a str,
        _: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>> {
        Box::pin(async move { find(name) })
    }

    fn context_image<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<BaseImage, SourceError>> {
        Box::pin(async { find("base") })
    }

    fn file<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, SourceError>> {
        Box::pin(async { Ok(None) })
    }

    fn runs(&self, platform: &Platform) -> bool {
        platform.architecture != "s390x"
    }
}
