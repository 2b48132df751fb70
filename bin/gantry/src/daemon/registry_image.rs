//! The built-in image `gantry-registry`: this program, with what it is linked to, as a registry.
//!
//! It is made when somebody asks for it, not when the daemon starts: it is as large as the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use gantry_image::{ImageError, Images, LayerFile};
use gantry_oci::image::Empty;
use gantry_oci::{ContainerConfig, Digest, ImageConfig, Reference};

use super::hello::goarch;

/// Name of the image.
pub(super) const NAME: &str = "gantry-registry";
/// The registry's directory in a container.
const ROOT: &str = "/var/lib/gantry-registry";
/// Where hosts keep the certificates of authorities: upstreams are spoken to by TLS.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Puts the image in, unless an equal one is there.
pub(super) fn put(images: &Images, name: &Reference) -> Result<Digest, ImageError> {
    let files =
        files().map_err(|source| ImageError::Io { step: "reading this program", source })?;
    images.put_single_layer(name, &config(), &files)
}

fn config() -> ImageConfig {
    let words = ["/gantry", "registry", "serve", "--listen", "0.0.0.0:5000"];
    ImageConfig {
        architecture: goarch().to_owned(),
        os: "linux".to_owned(),
        config: Some(ContainerConfig {
            entrypoint: Some(words.map(str::to_owned).into()),
            env: vec!["PATH=/".to_owned()],
            exposed_ports: BTreeMap::from([("5000/tcp".to_owned(), Empty {})]),
            volumes: BTreeMap::from([(ROOT.to_owned(), Empty {})]),
            ..ContainerConfig::default()
        }),
        ..ImageConfig::default()
    }
}

/// This program, its loader and libraries, and the authorities that the host trusts.
fn files() -> io::Result<Vec<LayerFile>> {
    let mut files = vec![file("/proc/self/exe", "gantry", 0o755)?];
    for library in libraries(&fs::read_to_string("/proc/self/maps")?) {
        files.push(file(&library, library.trim_start_matches('/'), 0o755)?);
        if is_loader(&library) && library.trim_start_matches('/') != loader() {
            files.push(file(&library, loader(), 0o755)?);
        }
    }
    if let Some(path) = AUTHORITIES.iter().find(|path| Path::new(path).is_file()) {
        files.push(file(path, path.trim_start_matches('/'), 0o644)?);
    }
    Ok(files)
}

fn file(from: &str, to: &str, mode: u32) -> io::Result<LayerFile> {
    let data = fs::read(from).map_err(|error| {
        let hint = "was the host upgraded? A daemon that is started again knows what is there now";
        io::Error::new(error.kind(), format!("{from}: {error} ({hint})"))
    })?;
    Ok(LayerFile { path: to.to_owned(), mode, data })
}

/// Files of libraries that a process has in its memory. They stay at their places, where their
/// loader looks for them.
fn libraries(maps: &str) -> Vec<String> {
    let paths = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let paths = paths.map(|path| path.trim_end_matches(" (deleted)"));
    let shared = paths.filter(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.ends_with(".so") || name.contains(".so.")
    });
    shared.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_loader(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("ld-linux"))
}

/// Where programs name their loader, by the architecture's ABI.
fn loader() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "lib/ld-linux-aarch64.so.1",
        _ => "lib64/ld-linux-x86-64.so.2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_once() {
        let maps = "\
55d0-55d1 r-xp 00000000 fe:00 1   /usr/bin/gantry
7f00-7f01 r--p 00000000 fe:00 2   /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r-xp 00001000 fe:00 2   /usr/lib/x86_64-linux-gnu/libc.so.6
7f03-7f04 rw-p 00000000 00:00 0
7f05-7f06 r--p 00000000 fe:00 3   /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 (deleted)
7f07-7f08 r--s 00000000 fe:00 4   /var/lib/gantry/gantry.db-shm
7ffc-7ffd rw-p 00000000 00:00 0   [stack]
";
        let found = libraries(maps);
        let want = ["ld-linux-x86-64.so.2", "libc.so.6"];
        let want = want.map(|name| format!("/usr/lib/x86_64-linux-gnu/{name}"));
        assert_eq!(found, want);
        assert!(is_loader(&found[0]) && !is_loader(&found[1]));
    }
}
