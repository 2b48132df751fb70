//! Caches in directories of the client's.

use gantry_build_proto::CacheSpec;
use gantry_oci::{Digest, Index, Manifest};

use super::{CONFIG_TYPE, DIFF_ID, DOCUMENT_MAX, ImportError, Imports, Place, blob_path, parse};
use crate::{build::Build, streams};

impl Imports {
    pub(super) async fn read_directory(
        &mut self,
        build: &Build,
        spec: &CacheSpec,
    ) -> Result<(), ImportError> {
        let context = spec.attributes.get("context").ok_or(ImportError::Attribute("context"))?;
        let index: Index = parse("index.json", &read(build, context, "index.json").await?)?;
        let tag = spec.attributes.get("tag").map_or("latest", String::as_str);
        let wanted = spec.attributes.get("digest");
        let descriptor = index.manifests.iter().find(|descriptor| match wanted {
            Some(digest) => descriptor.digest.as_str() == digest,
            None => {
                let name = descriptor.annotations.get("org.opencontainers.image.ref.name");
                name.map_or("latest", String::as_str) == tag
            }
        });
        let descriptor = descriptor.ok_or_else(|| ImportError::Tag(tag.to_owned()))?;
        let manifest: Manifest =
            parse("manifest", &read_blob(build, context, &descriptor.digest).await?)?;
        if manifest.config.media_type != CONFIG_TYPE {
            return Err(ImportError::NoCache(manifest.config.media_type));
        }
        let records = read_blob(build, context, &manifest.config.digest).await?;
        self.add(parse("records", &records)?);
        for layer in manifest.layers {
            // A layer's own digest stands in an annotation, since its blob is compressed.
            let diff_id = layer.annotations.get(DIFF_ID).and_then(|text| text.parse().ok());
            if let Some(diff_id) = diff_id {
                let place = Place::Directory(context.clone());
                self.blobs.insert(diff_id, (place, layer));
            }
        }
        Ok(())
    }
}

async fn read_blob(build: &Build, context: &str, digest: &Digest) -> Result<Vec<u8>, ImportError> {
    let path = blob_path(digest);
    let data = read(build, context, &path).await?;
    digest.verify(&data).map_err(|_| ImportError::Digest(path))?;
    Ok(data)
}

async fn read(build: &Build, context: &str, path: &str) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Client { what: path.to_owned(), source };
    let content = build.client.read(context, path).await.map_err(failed)?;
    let data = streams::read_all(content, DOCUMENT_MAX).await.map_err(failed)?;
    data.ok_or_else(|| ImportError::TooLarge(path.to_owned()))
}
