//! What goes in comes out: against GNU tar, and through our own writer.

use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::fs::MetadataExt},
    process::Command,
    time::Instant,
};

use gantry_archive::{ChangeKind, ExtractOptions, changes, copy_tree, open_root, pack, pack_upper};

use crate::{listing, make_tree, root, run, unpack};

#[test]
fn gnu_tar_agrees() {
    if !root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    fs::create_dir(&tree).unwrap();
    make_tree(&tree);
    let want = listing(&tree);
    let xattrs = ["--xattrs", "--xattrs-include=*"];
    for (number, (name, arguments)) in [
        ("gnu", vec!["--format=gnu"]),
        ("pax", [&["--format=pax"], &xattrs[..]].concat()),
        ("old sparse", vec!["--format=gnu", "--sparse"]),
        (
            "sparse 1.0",
            [&["--format=pax", "--sparse", "--sparse-version=1.0"], &xattrs[..]].concat(),
        ),
        (
            "sparse 0.1",
            [&["--format=pax", "--sparse", "--sparse-version=0.1"], &xattrs[..]].concat(),
        ),
        (
            "sparse 0.0",
            [&["--format=pax", "--sparse", "--sparse-version=0.0"], &xattrs[..]].concat(),
        ),
        ("gzip", [&["--format=pax", "-z"], &xattrs[..]].concat()),
        ("xz", [&["--format=pax", "-J"], &xattrs[..]].concat()),
        ("bzip2", [&["--format=pax", "-j"], &xattrs[..]].concat()),
    ]
    .into_iter()
    .enumerate()
    {
        let archive = base.path().join("tree.tar");
        run(Command::new("tar")
            .args(&arguments)
            .arg("--numeric-owner")
            .arg("-C")
            .arg(&tree)
            .arg("-cf")
            .arg(&archive)
            .arg("."));
        let (ours, theirs) = (
            base.path().join(format!("ours{number}")),
            base.path().join(format!("theirs{number}")),
        );
        unpack(&fs::read(&archive).unwrap(), &ours, &ExtractOptions::layer()).unwrap();
        fs::create_dir(&theirs).unwrap();
        run(Command::new("tar")
            .args(xattrs)
            .args(["--numeric-owner", "-p", "-C"])
            .arg(&theirs)
            .arg("-xf")
            .arg(&archive));
        assert_eq!(listing(&ours), listing(&theirs), "{name}");
        if arguments.contains(&"--format=pax") {
            assert_eq!(listing(&ours), want, "{name}");
        }
        assert!(
            fs::metadata(ours.join("sparse")).unwrap().blocks() < 3000,
            "{name}: holes are kept"
        );
    }
}

#[test]
fn our_writer_round_trips() {
    if !root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let (tree, again, theirs) =
        (base.path().join("tree"), base.path().join("again"), base.path().join("theirs"));
    fs::create_dir(&tree).unwrap();
    make_tree(&tree);
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    let mut tar = Vec::new();
    pack(open_root(&tree).unwrap().as_fd(), b"", &mut tar).unwrap();
    fs::remove_file(tree.join("socket")).unwrap();
    run(Command::new("touch").arg("-r").arg(&tree).arg(&tree));
    unpack(&tar, &again, &ExtractOptions::plain()).unwrap();
    assert_eq!(listing(&again), listing(&tree));
    let mut second = Vec::new();
    pack(open_root(&again).unwrap().as_fd(), b"", &mut second).unwrap();
    assert!(tar == second, "the same tree gives the same bytes");
    let archive = base.path().join("ours.tar");
    fs::write(&archive, &tar).unwrap();
    fs::create_dir(&theirs).unwrap();
    run(Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C"])
        .arg(&theirs)
        .arg("-xf")
        .arg(&archive));
    assert_eq!(listing(&theirs), listing(&tree));
    let copied = base.path().join("copied");
    fs::create_dir(&copied).unwrap();
    copy_tree(open_root(&tree).unwrap().as_fd(), open_root(&copied).unwrap().as_fd()).unwrap();
    assert_eq!(listing(&copied), listing(&tree));
}

#[test]
fn an_upper_directory_becomes_a_layer() {
    if !root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let [lower, upper, work, merged, again] =
        ["lower", "upper", "work", "merged", "again"].map(|name| base.path().join(name));
    for dir in [&lower, &upper, &work, &merged] {
        fs::create_dir(dir).unwrap();
    }
    make_tree(&lower);
    let script = r#"set -e; unshare -m sh -ec '
        mount -t overlay -o lowerdir=$1,upperdir=$2,workdir=$3,redirect_dir=off,metacopy=off none $4; cd $4
        echo more >> etc/passwd; rm null; rm -r usr; mkdir usr; echo new > usr/fresh; mkdir added; touch added/x
        mv data moved; chmod 700 var/empty' sh "$@""#;
    run(Command::new("sh").args(["-c", script, "sh"]).args([&lower, &upper, &work, &merged]));
    let open = |path| open_root(path).unwrap();
    let found = changes(open(&upper).as_fd(), &[open(&lower)]).unwrap();
    let found: Vec<(ChangeKind, &str)> =
        found.iter().map(|change| (change.kind, change.path.as_str())).collect();
    use ChangeKind::{Added, Deleted, Modified};
    assert_eq!(
        found,
        [
            (Added, "/added"),
            (Added, "/added/x"),
            (Deleted, "/data"),
            (Modified, "/etc"),
            (Modified, "/etc/passwd"),
            (Added, "/moved"),
            (Deleted, "/null"),
            (Modified, "/usr"),
            (Deleted, "/usr/bin"),
            (Added, "/usr/fresh"),
            (Modified, "/var"),
            (Modified, "/var/empty"),
        ]
    );
    let mut tar = Vec::new();
    pack_upper(open(&upper).as_fd(), &mut tar).unwrap();
    unpack(&tar, &again, &ExtractOptions::layer()).unwrap();
    // Overlayfs gives whiteouts any time and links them together: neither means anything.
    let files = |dir: &std::path::Path| {
        listing(dir).lines().filter(|line| !line.contains("|c|0|")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(files(&again), files(&upper));
    let mut second = Vec::new();
    pack_upper(open(&again).as_fd(), &mut second).unwrap();
    assert!(tar == second, "whiteouts and opaque directories round trip");
}

/// Prints how long 26,000 files take, ours and GNU tar's; asserts nothing.
#[test]
fn unpacking_many_files() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    for dir in 0..1300 {
        let dir = tree.join(format!("usr/share/d{}/e{dir}", dir % 37));
        fs::create_dir_all(&dir).unwrap();
        for file in 0..20 {
            fs::write(dir.join(format!("file{file}")), vec![b'x'; file * 500]).unwrap();
        }
    }
    let archive = base.path().join("many.tar");
    run(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(&archive).arg("."));
    let data = fs::read(&archive).unwrap();
    let start = Instant::now();
    let done = unpack(&data, &base.path().join("ours"), &ExtractOptions::layer()).unwrap();
    let ours = start.elapsed();
    fs::create_dir(base.path().join("theirs")).unwrap();
    let start = Instant::now();
    run(Command::new("tar").arg("-C").arg(base.path().join("theirs")).arg("-xf").arg(&archive));
    println!(
        "{} entries, {} MiB: ours {ours:?}, GNU tar {:?}",
        done.entries,
        data.len() >> 20,
        start.elapsed()
    );
}

#[test]
fn who_has_no_privileges_gets_the_rest() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("source"), dir.path().join("out"));
    fs::create_dir(&source).unwrap();
    make_tree(&source);
    let mut tar = Vec::new();
    pack(open_root(&source).unwrap().as_fd(), b"", &mut tar).unwrap();
    let options =
        ExtractOptions { owner: Some((0, 0)), unprivileged: true, ..ExtractOptions::plain() };
    unpack(&tar, &out, &options).unwrap();
    assert!(!out.join("null").exists() && !out.join("disk").exists());
    assert!(out.join("pipe").exists() && out.join("usr/bin/su").exists());
    let mut value = [0; 32];
    let su = File::open(out.join("usr/bin/su")).unwrap();
    assert!(rustix::fs::fgetxattr(&su, "security.capability", &mut value[..]).is_err());
    let data = File::open(out.join("data")).unwrap();
    assert_eq!(rustix::fs::fgetxattr(&data, "user.note", &mut value[..]), Ok(3));
}
