//! Programs from PyPI, each in a virtual environment below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment's `bin` with these packages in it, made when it is not there.
pub(crate) fn environment(packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pypi");
    fs::create_dir_all(&folder).unwrap();
    // Tests of this and of other processes want it at the same time.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let name = packages.join(",");
    let (made, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    if !made.is_dir() {
        let _ = fs::remove_dir_all(&part);
        run(Path::new("/usr/bin/python3"), &["-m", "venv", "--copies", part.to_str().unwrap()]);
        let pip = [&["-m", "pip", "install", "--quiet", "--no-cache-dir"], packages].concat();
        run(&part.join("bin/python3"), &pip);
        fs::rename(&part, &made).unwrap();
    }
    made.join("bin")
}

fn run(program: &Path, args: &[&str]) {
    let output = Command::new(program).args(args).output().expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
