//! Archives against the real file system, GNU tar as the oracle. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

mod hostile;
mod round_trip;

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    process::Command,
};

use gantry_archive::{
    ArchiveError, ExtractOptions, Extracted, Header, TarWriter, extract, open_root,
};

/// Whether the test may make devices; says so when not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}

pub(crate) fn unpack(
    tar: &[u8],
    into: &Path,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    fs::create_dir_all(into).unwrap();
    let (mut tar, _) = gantry_archive::decompress(Box::new(std::io::Cursor::new(tar.to_vec())))?;
    extract(&mut tar, open_root(into).unwrap().as_fd(), options)
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Name, type, mode, owner, size, time, links, device and attributes of everything in a tree.
pub(crate) fn listing(dir: &Path) -> String {
    let script = r#"cd "$1" && find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%T@|%l|%n|' \
        \( -type f -printf '%s|' -exec sha256sum '{}' \; -o -printf '\n' \) | sed 's/  .*//' | sort
        find . -type f -exec getcap '{}' \; 2>/dev/null | sort"#;
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(dir).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A tar of these headers with their content.
pub(crate) fn tar_of(entries: &[(Header<'_>, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (header, data) in entries {
        tar.data(header, data).unwrap();
    }
    tar.finish().unwrap()
}

/// A tree with everything that a layer may have.
pub(crate) fn make_tree(dir: &Path) {
    let script = r#"set -e; cd "$1"
        mkdir -p etc usr/bin var/empty "$(printf 'long%.0s' $(seq 40))/$(printf 'name%.0s' $(seq 40))"
        echo root > etc/passwd; ln etc/passwd etc/hard; ln -s passwd etc/soft; ln -s /nowhere etc/dangling
        ln -s "$(printf 'target/%.0s' $(seq 40))" etc/longlink
        printf x > "$(printf 'long%.0s' $(seq 40))/$(printf 'name%.0s' $(seq 40))/file"
        cp /bin/true usr/bin/su; chmod 4755 usr/bin/su; chmod 2775 var/empty; chmod 1777 var
        chown 1000:2000 etc/passwd; chown -h 7:8 etc/soft; chown 70000:3000000 usr
        mknod null c 1 3; mknod disk b 8 1; chmod 666 null; mkfifo pipe
        truncate -s 3M sparse; printf middle | dd of=sparse bs=1 seek=1500000 conv=notrunc 2>/dev/null
        dd if=/dev/urandom of=data bs=1k count=1500 2>/dev/null; : > empty
        printf a > "with space"; printf b > 'näme'
        touch -d '1999-12-31 23:59:59.123456789' etc/passwd; touch -h -d '2001-01-01 00:00:00.5' etc/soft
        touch -d '2002-02-02 02:02:02.25' var/empty usr etc; touch -d '1960-01-01 00:00:00' empty"#;
    run(Command::new("sh").args(["-c", script, "sh"]).arg(dir));
    let file = File::open(dir.join("data")).unwrap();
    rustix::fs::fsetxattr(&file, "user.note", b"a\nb", rustix::fs::XattrFlags::empty()).unwrap();
    let capability = [1, 0, 0, 2, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = File::open(dir.join("usr/bin/su")).unwrap();
    rustix::fs::fsetxattr(
        &file,
        "security.capability",
        &capability,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
}
