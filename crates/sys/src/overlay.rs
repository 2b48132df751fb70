//! Overlay mounts that are attached nowhere.
//!
//! Three ways lead there, of which the first is taken that the kernel knows:
//!
//! ```text
//! each   one parameter `lowerdir+` a layer                       Linux 6.7
//! list   one parameter `lowerdir` with all layers                older; 255 bytes, some 15 layers
//! page   `mount(2)` with a page of options, out of sight         older; some 250 layers
//! ```
//!
//! The older two name directories by descriptors (`/proc/self/fd/4`): short, and without the bytes
//! that have a meaning in such a list.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
    open_tree,
};
use rustix::thread::UnshareFlags;

use crate::kernel::Version;
use crate::mount::{Change, change};
use crate::namespace::unshare;

/// What to mount.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Lower directories, top first; without an upper one, two at least.
    pub lower: &'a [PathBuf],
    /// The directory that takes what is written, and its work directory.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Attributes of the mount.
    pub attributes: MountAttrFlags,
    /// Nothing is brought to disk, not even when the mount ends: for directories that are of no use
    /// after a power cut. Linux 5.10.
    pub volatile: bool,
}

/// The kernel refused the mount.
#[derive(Debug)]
pub struct Refused {
    /// What it refused: a parameter, or a step.
    pub step: &'static str,
    /// Its answer.
    pub source: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounting overlay: {}", self.step)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Refused {
    fn at<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> Refused {
        move |error| Refused { step, source: error.into() }
    }

    fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }
}

/// Longest string that `fsconfig(2)` takes.
const VALUE_MAX: usize = 255;
/// Longest options that `mount(2)` takes: a page, with the final NUL.
const PAGE_MAX: usize = 4095;
/// The upper directory must read as a layer: no renames by reference, no data left below.
const OPTIONS: [(&str, &str); 3] = [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")];
/// The option that brings nothing to disk.
const VOLATILE: &str = "volatile";
/// What a mount table shows as the device, as it does for every engine's containers.
const SOURCE: &str = "overlay";

/// The way that worked before in this process.
static WAY: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const EACH: u8 = 1;
const OLDER: u8 = 2;

/// Mounts an overlay without attaching it anywhere; it goes with the descriptor.
///
/// The directories have to be in mounts of the caller's mount namespace. Before Linux 6.7, `/proc`
/// has to be there too.
///
/// # Errors
/// The step that the kernel refused. `E2BIG` before Linux 6.7 for more layers than a page can name.
pub fn mount_detached(overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    match WAY.load(Ordering::Relaxed) {
        EACH => return by_each(overlay),
        OLDER => return by_list_or_page(overlay),
        // Such a kernel would take the parameter, fail in the end and write a line into its log.
        _ if Version::running() < Version(6, 5) => {
            return by_list_or_page(overlay).inspect(|_| WAY.store(OLDER, Ordering::Relaxed));
        }
        _ => {}
    }
    // Others may have been given what is newer: only what works tells what the kernel knows.
    match by_each(overlay) {
        Err(refused) if refused.is(Errno::INVAL) => {
            by_list_or_page(overlay).inspect(|_| WAY.store(OLDER, Ordering::Relaxed))
        }
        answer => answer.inspect(|_| WAY.store(EACH, Ordering::Relaxed)),
    }
}

fn by_each(overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    let context = begin()?;
    // Descriptors behind paths that are too long; they must live until the mount is made.
    let mut kept = Vec::new();
    let mut set = |key: &'static str, path: &Path| {
        let mut value = path.as_os_str().as_bytes();
        let name;
        if value.len() > VALUE_MAX {
            let open = open(path).map_err(Refused::at(key))?;
            name = by_descriptor(&open);
            value = name.as_bytes();
            kept.push(open);
        }
        fsconfig_set_string(&context, key, value).map_err(Refused::at(key))
    };
    for path in overlay.lower {
        set("lowerdir+", path)?;
    }
    if let Some((upper, work)) = overlay.upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    finish(&context, overlay)
}

fn by_list_or_page(overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    let named = Named::open(overlay)?;
    if named.lower.len() > VALUE_MAX {
        drop(named);
        return by_page(overlay);
    }
    let context = begin()?;
    for (key, value) in named.parameters() {
        fsconfig_set_string(&context, key, value).map_err(Refused::at(key))?;
    }
    finish(&context, overlay)
}

fn begin() -> Result<OwnedFd, Refused> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(Refused::at("opening"))?;
    fsconfig_set_string(&context, "source", SOURCE).map_err(Refused::at("source"))?;
    Ok(context)
}

fn finish(context: &OwnedFd, overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    for (key, value) in OPTIONS {
        fsconfig_set_string(context, key, value).map_err(Refused::at(key))?;
    }
    if overlay.volatile {
        fsconfig_set_flag(context, VOLATILE).map_err(Refused::at(VOLATILE))?;
    }
    fsconfig_create(context).map_err(Refused::at("creating"))?;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, overlay.attributes)
        .map_err(Refused::at("mounting"))
}

/// `mount(2)` attaches what it mounts: a thread does it in a mount namespace of its own, which goes
/// with the thread, and hands out a copy of the mount that is attached nowhere.
fn by_page(overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    std::thread::scope(|scope| {
        let body = || (std::fs::read_link("/proc/thread-self"), by_page_here(overlay));
        let thread = std::thread::Builder::new()
            .spawn_scoped(scope, body)
            .map_err(Refused::at("starting a thread"))?;
        let lost = |_| Refused::at("thread")(Errno::SRCH);
        let (name, answer) = thread.join().map_err(lost)?;
        if let Ok(name) = name {
            wait_until_gone(&Path::new("/proc").join(name));
        }
        answer
    })
}

/// A joined thread may be counted for an instant longer, and a caller may need to be alone to fork
/// or to enter a user namespace.
fn wait_until_gone(thread: &Path) {
    const ROUNDS: u32 = 1000;
    for _ in 0..ROUNDS {
        if !thread.exists() {
            return;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn by_page_here(overlay: Overlay<'_>) -> Result<OwnedFd, Refused> {
    // Any mount point will do; this one is there, as the names of the directories need it.
    const PLACE: &str = "/proc";
    unshare(UnshareFlags::NEWNS).map_err(Refused::at("leaving the mount namespace"))?;
    mount_change(PLACE, MountPropagationFlags::PRIVATE).map_err(Refused::at("hiding the mount"))?;
    // Only now: a layer's mount has to be one of this namespace.
    let named = Named::open(overlay)?;
    let volatile = overlay.volatile.then(|| VOLATILE.to_owned());
    let options: Vec<String> = named
        .parameters()
        .into_iter()
        .chain(OPTIONS)
        .map(|(key, value)| format!("{key}={value}"))
        .chain(volatile)
        .collect();
    let options = CString::new(options.join(",")).map_err(Refused::at("options"))?;
    if options.as_bytes().len() > PAGE_MAX {
        return Err(Refused::at("too many layers for this kernel, needs Linux 6.7")(Errno::TOOBIG));
    }
    mount(SOURCE, PLACE, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(Refused::at("mounting"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, PLACE, flags).map_err(Refused::at("copying the mount"))?;
    let attributes = u64::from(overlay.attributes.bits());
    change(tree.as_fd(), Change { set: attributes, ..Change::default() }, false)
        .map_err(Refused::at("setting attributes"))?;
    Ok(tree)
}

/// The directories by short names, which hold as long as this value lives.
struct Named {
    lower: String,
    upper: Option<(String, String)>,
    _open: Vec<OwnedFd>,
}

impl Named {
    fn open(overlay: Overlay<'_>) -> Result<Named, Refused> {
        let mut kept = Vec::new();
        let mut name = |key: &'static str, path: &Path| {
            let open = open(path).map_err(Refused::at(key))?;
            let name = by_descriptor(&open);
            kept.push(open);
            Ok(name)
        };
        let lower: Result<Vec<String>, Refused> =
            overlay.lower.iter().map(|path| name("lowerdir", path)).collect();
        let lower = lower?.join(":");
        let upper = match overlay.upper {
            Some((upper, work)) => Some((name("upperdir", upper)?, name("workdir", work)?)),
            None => None,
        };
        Ok(Named { lower, upper, _open: kept })
    }

    fn parameters(&self) -> Vec<(&'static str, &str)> {
        let mut parameters = vec![("lowerdir", self.lower.as_str())];
        if let Some((upper, work)) = &self.upper {
            parameters.extend([("upperdir", upper.as_str()), ("workdir", work.as_str())]);
        }
        parameters
    }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn by_descriptor(open: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Directories of an overlay, on a disk that can hold an upper one; removed when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let place = Place(
                Path::new("/var/tmp").join(format!("gantry-overlay,{name}:{}", std::process::id())),
            );
            fs::create_dir_all(place.0.join("upper")).unwrap();
            fs::create_dir_all(place.0.join("work")).unwrap();
            place
        }

        /// Layers, top first, each with a file of its own and one that all have.
        fn layers(&self, count: usize) -> Vec<PathBuf> {
            let layer = |number: usize| {
                let layer = self.0.join(format!("layer{number}"));
                fs::create_dir(&layer).unwrap();
                fs::write(layer.join(format!("file{number}")), "").unwrap();
                fs::write(layer.join("top"), number.to_string()).unwrap();
                layer
            };
            (0..count).map(layer).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    type Way = fn(Overlay<'_>) -> Result<OwnedFd, Refused>;

    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("skipped: mounting needs root");
        }
        root
    }

    #[test]
    fn every_way_makes_the_same_mount() {
        if !is_root() {
            return;
        }
        let ways: [(&str, Way, usize); 5] = [
            ("any", mount_detached, 60),
            ("again", mount_detached, 60),
            ("list", by_list_or_page, 3),
            ("page", by_list_or_page, 60),
            ("short page", by_page, 3),
        ];
        for (name, way, count) in ways {
            let place = Place::new(name);
            let lower = place.layers(count);
            let (upper, work) = (place.0.join("upper"), place.0.join("work"));
            let guard = MountAttrFlags::MOUNT_ATTR_NOSUID;
            let tree = way(Overlay {
                lower: &lower,
                upper: Some((&upper, &work)),
                attributes: guard,
                volatile: false,
            })
            .unwrap_or_else(|refused| panic!("{name}: {refused}: {}", refused.source));
            let root = PathBuf::from(by_descriptor(&tree));
            assert_eq!(fs::read_to_string(root.join("top")).unwrap(), "0", "{name}");
            assert_eq!(fs::read_dir(&root).unwrap().count(), count + 1, "{name}");
            fs::write(root.join("new"), "").unwrap();
            assert!(upper.join("new").exists(), "{name}");
            let flags = rustix::fs::fstatvfs(&tree).unwrap().f_flag;
            assert!(flags.contains(rustix::fs::StatVfsMountFlags::NOSUID), "{name}");
        }
    }

    #[test]
    fn without_an_upper_directory_nothing_is_written() {
        if !is_root() {
            return;
        }
        let place = Place::new("read-only");
        let lower = place.layers(40);
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
        for way in [by_each as Way, by_page] {
            let Ok(tree) = way(Overlay { lower: &lower, upper: None, attributes, volatile: false })
            else {
                // An old kernel knows only one of the two.
                continue;
            };
            let root = PathBuf::from(by_descriptor(&tree));
            assert_eq!(fs::read_to_string(root.join("top")).unwrap(), "0");
            fs::write(root.join("new"), "").unwrap_err();
        }
    }

    #[test]
    fn a_page_of_layers_is_the_end() {
        if !is_root() {
            return;
        }
        let place = Place::new("many");
        let lower = vec![place.layers(1).remove(0); 300];
        let attributes = MountAttrFlags::empty();
        let overlay = Overlay { lower: &lower, upper: None, attributes, volatile: false };
        let refused = by_page(overlay).unwrap_err();
        assert!(refused.is(Errno::TOOBIG), "{refused}: {}", refused.source);
    }

    #[test]
    fn what_is_missing_is_named() {
        let lower = [PathBuf::from("/nonexistent/1"), PathBuf::from("/nonexistent/2")];
        let attributes = MountAttrFlags::empty();
        let overlay = Overlay { lower: &lower, upper: None, attributes, volatile: false };
        let refused = by_list_or_page(overlay).unwrap_err();
        assert_eq!((refused.step, refused.is(Errno::NOENT)), ("lowerdir", true));
    }
}
