//! What a client of the classic builder sends with its context although it is not to be in it.

use std::io;

use gantry_build::Taken;
use gantry_build_proto::DockerfileSource;
use gantry_dockerfile::Patterns;

/// The file whose patterns leave files out.
const IGNORE_FILE: &str = ".dockerignore";
/// The Dockerfile of who names none.
const DOCKERFILE: &str = "Dockerfile";
const DOCKERFILE_SMALL: &str = "dockerfile";
/// Most bytes of a Dockerfile and of an ignore file.
const TEXT_MAX: u64 = 16 << 20;

/// Where the Dockerfile is: who names none may also have written it in small letters.
///
/// # Errors
/// When the context cannot be read.
pub(super) fn dockerfile<'p>(taken: &Taken, path: &'p str) -> io::Result<&'p str> {
    let is_there = |path: &str| Ok::<_, io::Error>(taken.file(path, TEXT_MAX)?.is_some());
    if path == DOCKERFILE && !is_there(path)? && is_there(DOCKERFILE_SMALL)? {
        return Ok(DOCKERFILE_SMALL);
    }
    Ok(path)
}

/// Takes the ignore file and the Dockerfile out of a context whose ignore file names them: the
/// client sends them all the same, as the builder has to read them. Where the Dockerfile is from
/// then on.
///
/// # Errors
/// When a file cannot be read or removed.
pub(super) fn leave_out(taken: &Taken, path: &str) -> io::Result<DockerfileSource> {
    let stays = DockerfileSource::Path(path.to_owned());
    let Some(ignored) = taken.file(IGNORE_FILE, TEXT_MAX)? else { return Ok(stays) };
    // Wrong patterns were the client's to refuse.
    let Ok(patterns) = Patterns::of_ignore_file(&String::from_utf8_lossy(&ignored)) else {
        return Ok(stays);
    };
    if patterns.matches(IGNORE_FILE) {
        taken.remove_file(IGNORE_FILE)?;
    }
    if !patterns.matches(path) {
        return Ok(stays);
    }
    let Some(text) = taken.file(path, TEXT_MAX)? else { return Ok(stays) };
    taken.remove_file(path)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(DockerfileSource::Text { name: path.to_owned(), text })
}
