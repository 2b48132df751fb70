//! The built-in image `hello-gantry`: the shim's own program, which greets when it is called `hello`.

use gantry_image::{ImageError, Images, LayerFile};
use gantry_oci::{ContainerConfig, ImageConfig, Reference};

/// Name of the built-in image.
const NAME: &str = "hello-gantry";

/// Puts the image in, unless an equal one is there.
pub(crate) fn put(images: &Images) -> Result<(), ImageError> {
    let Ok(reference) = NAME.parse::<Reference>() else { return Ok(()) };
    let config = ImageConfig {
        architecture: goarch().to_owned(),
        os: "linux".to_owned(),
        config: Some(ContainerConfig {
            cmd: Some(vec!["/hello".to_owned()]),
            env: vec!["PATH=/".to_owned()],
            ..ContainerConfig::default()
        }),
        ..ImageConfig::default()
    };
    let program = LayerFile {
        path: "hello".to_owned(),
        mode: 0o755,
        data: crate::embedded_shim::SHIM.to_vec(),
    };
    images.put_single_layer(&reference, &config, &[program]).map(drop)
}

/// This machine's architecture in Go's words, which the image specification uses.
pub(super) fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
