//! Limits of what a volume may hold: project quotas of the file system. See `docs/adr/0006`.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use gantry_sys::quota;

/// First project id of ours; the numbers below are left to the administrator.
const FIRST_PROJECT: u32 = 0x6761_0000;
/// How many ids are looked at for one that is free.
const PROJECTS: u32 = 0x1_0000;

/// Whether volumes in `dir` can be limited.
pub(crate) fn is_there(dir: &Path) -> bool {
    gantry_archive::open_root(dir).is_ok_and(|dir| quota::enforces_projects(dir.as_fd()))
}

/// Limits an empty directory; gives the project that it belongs to from now on. `taken` are ids
/// of other volumes of ours, which may have no files yet.
pub(crate) fn limit(dir: &Path, bytes: u64, taken: &dyn Fn(u32) -> bool) -> io::Result<u32> {
    let dir = gantry_archive::open_root(dir)?;
    let mut ids = FIRST_PROJECT..FIRST_PROJECT + PROJECTS;
    let project = loop {
        let Some(id) = ids.next() else { return Err(io::ErrorKind::StorageFull.into()) };
        if !taken(id) && quota::is_unused(dir.as_fd(), id)? {
            break id;
        }
    };
    quota::limit_project(dir.as_fd(), project, bytes)?;
    quota::set_project(dir.as_fd(), project)?;
    Ok(project)
}

/// Gives a project's limit up.
pub(crate) fn release(dir: &Path, project: u32) -> io::Result<()> {
    let dir = gantry_archive::open_root(dir)?;
    quota::limit_project(dir.as_fd(), project, 0)
}
