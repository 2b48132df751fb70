//! Debian's cloud kernel: downloaded, unpacked into a cache, never installed on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chore::{ChoreError, io, run};

/// The package that always needs the newest kernel's.
const NEWEST: &str = "linux-image-cloud-amd64";
/// Environment variable that names another package: a kernel's, or one that needs a kernel's.
const OTHER: &str = "GANTRY_VM_KERNEL";

/// An unpacked kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// As `uname -r` has it.
    pub release: String,
    /// What qemu boots.
    pub image: PathBuf,
    /// Its modules' directory, with `modules.dep`.
    pub modules: PathBuf,
}

/// The kernel of the cache; the first time, downloads it.
pub(crate) fn obtain(cache: &Path) -> Result<Kernel, ChoreError> {
    let wanted = std::env::var(OTHER).unwrap_or_else(|_| NEWEST.to_owned());
    let folder = cache.join(&wanted);
    if let Some(kernel) = unpacked(&folder) {
        return Ok(kernel);
    }
    let part = cache.join(format!("{wanted}.part"));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(part.join("package")).map_err(io("making the kernel's directory"))?;
    let package = download(&wanted, &part.join("package"))?;
    run("dpkg-deb", &["-x", text(&package)?, text(&part)?])?;
    let half = unpacked_release(&part)
        .ok_or_else(|| ChoreError::Text(format!("no kernel in {}", package.display())))?;
    // The package leaves this to its installation.
    run("depmod", &["-b", text(&part)?, &half])?;
    fs::remove_dir_all(part.join("package")).map_err(io("removing the kernel's package"))?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&part, &folder).map_err(io("keeping the kernel"))?;
    unpacked(&folder).ok_or_else(|| ChoreError::Text("the kernel's package is odd".to_owned()))
}

/// The kernel in a directory, when it is all there.
fn unpacked(folder: &Path) -> Option<Kernel> {
    let release = unpacked_release(folder)?;
    let modules = folder.join("lib/modules").join(&release);
    let image = folder.join("boot").join(format!("vmlinuz-{release}"));
    modules.join("modules.dep").is_file().then_some(Kernel { release, image, modules })
}

fn unpacked_release(folder: &Path) -> Option<String> {
    let names = fs::read_dir(folder.join("boot")).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix("vmlinuz-").map(str::to_owned)).next()
}

/// Downloads a kernel's package into a directory.
fn download(wanted: &str, folder: &Path) -> Result<PathBuf, ChoreError> {
    let fetch = || -> Result<(), ChoreError> {
        let output = Command::new("apt-cache")
            .args(["depends", "--important", wanted])
            .output()
            .map_err(io("apt-cache"))?;
        let package =
            needed(&String::from_utf8_lossy(&output.stdout)).unwrap_or_else(|| wanted.to_owned());
        println!("$ apt-get download {package}");
        let status = Command::new("apt-get")
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &package])
            .current_dir(folder)
            .status()
            .map_err(io("apt-get"))?;
        if status.success() { Ok(()) } else { Err(ChoreError::Failed(package)) }
    };
    // Lists that are old name a package that is no longer there.
    fetch().or_else(|_| run("apt-get", &["update", "-qq"]).and_then(|()| fetch()))?;
    let mut files = fs::read_dir(folder).map_err(io("the kernel's package"))?.flatten();
    let package = files.next().map(|entry| entry.path());
    package.ok_or_else(|| ChoreError::Text("the kernel's package did not come".to_owned()))
}

/// The kernel's package that `apt-cache depends` says is needed, if any is.
fn needed(depends: &str) -> Option<String> {
    let mut lines = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    lines.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn text(path: &Path) -> Result<&str, ChoreError> {
    path.to_str().ok_or_else(|| ChoreError::Text(format!("{} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_concrete_package_is_found() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(needed(depends).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(needed("linux-image-6.12.1-cloud-amd64\n  Depends: kmod\n"), None);
    }

    #[test]
    fn half_a_kernel_is_none() {
        assert_eq!(unpacked(Path::new("/nonexistent")), None);
    }
}
