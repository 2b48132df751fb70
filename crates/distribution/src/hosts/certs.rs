//! Certificates as Docker has them: `*.crt` are authorities, `NAME.cert` and `NAME.key` are ours.

use std::path::{Path, PathBuf};

use gantry_web::Trust;

use super::{trust, wrong_file};
use crate::DistributionError;

/// Reads the certificates in a directory.
pub(super) fn read(dir: &Path, skip_verify: bool) -> Result<Trust, DistributionError> {
    let mut trust = Trust::system(skip_verify);
    for path in files(dir)? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => trust::add_authorities(&mut trust, &path)?,
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    let why = "its key is missing; certificates of authorities end with .crt";
                    return Err(wrong_file(&path, why));
                }
                trust::add_identity(&mut trust, &path, &key)?;
            }
            Some("key") if !path.with_extension("cert").exists() => {
                return Err(wrong_file(&path, "its certificate is missing"));
            }
            _ => {}
        }
    }
    Ok(trust)
}

/// The files of a directory by their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>, DistributionError> {
    let wrong = |error| wrong_file(dir, error);
    let entries = std::fs::read_dir(dir).map_err(wrong)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(wrong)?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}
