//! Archives that want out, or want too much.

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileTypeExt, symlink},
};

use gantry_archive::{
    CopyIn, EntryKind, ExtractOptions, Header, Limits, copy_in, copy_out, open_root, stat,
};
use std::os::fd::AsFd;

use crate::{root, tar_of, unpack};

fn file(name: &str) -> Header<'_> {
    Header::file(name.as_bytes(), 0)
}

fn link<'a>(name: &'a str, target: &'a str, kind: EntryKind) -> Header<'a> {
    Header { kind, link: target.as_bytes(), ..file(name) }
}

#[test]
fn nothing_leaves_the_root() {
    let base = tempfile::tempdir().unwrap();
    let outside = base.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "alive").unwrap();
    let absolute = outside.to_str().unwrap().to_owned();
    let through = format!("{absolute}/canary");
    let cases: Vec<(&str, Vec<Header<'_>>, bool)> = vec![
        ("parent", vec![file("../outside/canary")], false),
        ("hidden parent", vec![file("a/../../outside/canary")], false),
        ("absolute", vec![file(&through)], true),
        ("link then file", vec![link("l", &absolute, EntryKind::Symlink), file("l/canary")], false),
        (
            "relative link",
            vec![link("l", "../outside", EntryKind::Symlink), file("l/canary")],
            false,
        ),
        ("link over link", vec![link("l", &through, EntryKind::Symlink), file("l")], true),
        (
            "hard link out",
            vec![link("h", "../outside/canary", EntryKind::HardLink), file("h")],
            false,
        ),
        ("hard link absolute", vec![link("h", &through, EntryKind::HardLink), file("h")], false),
        (
            "hard link to link",
            vec![
                link("l", &through, EntryKind::Symlink),
                link("h", "l", EntryKind::HardLink),
                file("h"),
            ],
            true,
        ),
        (
            "directory over link",
            vec![
                link("d", &absolute, EntryKind::Symlink),
                Header::directory(b"d/"),
                file("d/canary"),
            ],
            true,
        ),
        ("whiteout out", vec![file("../outside/.wh.canary")], false),
        ("whiteout of dots", vec![file("a/.wh..")], false),
        ("whiteout of nothing", vec![file(".wh.")], false),
        ("root is a file", vec![file("./")], true),
    ];
    for (number, (name, headers, fine)) in cases.into_iter().enumerate() {
        let root = base.path().join(format!("root{number}"));
        let entries: Vec<(Header<'_>, &[u8])> = headers
            .into_iter()
            .map(|header| {
                let data: &[u8] = if header.kind == EntryKind::File { b"evil" } else { b"" };
                (header, data)
            })
            .collect();
        let result = unpack(&tar_of(&entries), &root, &ExtractOptions::layer());
        if let Err(error) = &result {
            assert!(!gantry_fault::chain(error).is_empty());
        }
        // "link then file" writes into the root, where the link's target does not exist.
        assert_eq!(result.is_ok(), fine, "{name}: {result:?}");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive", "{name}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn limits_hold() {
    if !root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let device = |name: &'_ String| Header {
        kind: EntryKind::Char,
        major: 1,
        minor: 3,
        ..Header::file(name.clone().leak().as_bytes(), 0)
    };
    let devices: Vec<(Header<'_>, &[u8])> =
        names.iter().map(|name| (device(name), b"".as_slice())).collect();
    let tight =
        ExtractOptions { limits: Limits { entries: 1000, devices: 10 }, ..ExtractOptions::layer() };
    let error = unpack(&tar_of(&devices), &base.path().join("a"), &tight).unwrap_err();
    assert_eq!(error.to_string(), "archive has more than 10 device nodes");
    let files: Vec<(Header<'_>, &[u8])> =
        names.iter().map(|name| (file(name), b"".as_slice())).collect();
    let tight =
        ExtractOptions { limits: Limits { entries: 30, devices: 10 }, ..ExtractOptions::layer() };
    let error = unpack(&tar_of(&files), &base.path().join("b"), &tight).unwrap_err();
    assert_eq!(error.to_string(), "archive has more than 30 entries");
    let long = "x/".repeat(2100);
    let error = unpack(&tar_of(&[(file(&long), b"")]), &base.path().join("c"), &tight).unwrap_err();
    assert!(error.to_string().ends_with("path too long"), "{error}");
}

#[test]
fn broken_streams_are_errors() {
    let base = tempfile::tempdir().unwrap();
    let data = vec![7; 300_000];
    let tar = tar_of(&[(file("a"), &data), (file("b"), &data)]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut corrupt = gzip.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    let mut wrong_sum = gzip.clone();
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 0xff;
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let mut bad_header = tar.clone();
    bad_header[100] ^= 1;
    let cases: Vec<(&str, Vec<u8>, bool)> = vec![
        ("whole", tar.clone(), true),
        ("whole gzip", gzip.clone(), true),
        ("whole zstd", zstd.clone(), true),
        ("cut in content", tar[..200_000].to_vec(), false),
        ("cut in header", tar[..301_000].to_vec(), false),
        ("cut gzip", gzip[..gzip.len() - 20].to_vec(), false),
        ("cut gzip sum", gzip[..gzip.len() - 3].to_vec(), false),
        ("corrupt gzip", corrupt, false),
        ("wrong gzip sum", wrong_sum, false),
        ("cut zstd", zstd[..zstd.len() - 3].to_vec(), false),
        ("wrong checksum", bad_header, false),
        ("text", b"hello, this is no archive".to_vec(), false),
        ("noise", (0..4096_u32).map(|n| ((n * 7919) >> 3) as u8).collect(), false),
    ];
    for (number, (name, data, fine)) in cases.into_iter().enumerate() {
        let result = unpack(&data, &base.path().join(number.to_string()), &ExtractOptions::layer());
        assert_eq!(result.is_ok(), fine, "{name}: {result:?}");
    }
}

#[test]
fn whiteouts_become_overlays() {
    if !root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let tar = tar_of(&[
        (Header::directory(b"d/"), b""),
        (file("d/.wh.gone"), b""),
        (Header::directory(b"o/"), b""),
        (file("o/.wh..wh..opq"), b""),
        (file("o/kept"), b"x"),
        (file(".wh.again"), b""),
        (Header::directory(b"again/"), b""),
        (file(".wh..wh.plnk/ignored"), b""),
    ]);
    unpack(&tar, base.path(), &ExtractOptions::layer()).unwrap();
    assert!(fs::symlink_metadata(base.path().join("d/gone")).unwrap().file_type().is_char_device());
    for (dir, want) in [("d", false), ("o", true), ("again", true)] {
        let dir = fs::File::open(base.path().join(dir)).unwrap();
        let mut value = [0; 8];
        let opaque = rustix::fs::fgetxattr(&dir, "trusted.overlay.opaque", &mut value[..]);
        assert_eq!(opaque.is_ok(), want, "{dir:?}");
    }
    assert!(!base.path().join(".wh..wh.plnk").exists());
}

#[test]
fn copies_stay_inside() {
    let base = tempfile::tempdir().unwrap();
    let (inside, outside) = (base.path().join("in"), base.path().join("out"));
    fs::create_dir_all(inside.join("dir/sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(inside.join("dir/file"), "data").unwrap();
    symlink(&outside, inside.join("abs")).unwrap();
    symlink("../out", inside.join("rel")).unwrap();
    symlink("dir", inside.join("fine")).unwrap();
    let root = open_root(&inside).unwrap();
    for path in ["abs/secret", "rel/secret", "../out/secret", "/dir/../../out/secret", "missing"] {
        let mut tar = Vec::new();
        assert!(copy_out(root.as_fd(), path, &mut tar).is_err(), "{path}");
        assert!(tar.is_empty() || !String::from_utf8_lossy(&tar).contains("secret\0"), "{path}");
    }
    for (path, name, is_dir) in [
        ("/dir", "dir", true),
        ("dir/", "dir", true),
        ("/dir/.", ".", true),
        ("fine/file", "file", false),
        ("/", "/", true),
        ("fine/", "fine", true),
    ] {
        let found = stat(root.as_fd(), path).unwrap();
        assert_eq!((found.name.as_str(), found.is_dir()), (name, is_dir), "{path}");
    }
    assert_eq!(stat(root.as_fd(), "/fine").unwrap().link_target, "/dir");
    let tar = tar_of(&[(file("new"), b"x")]);
    for (path, fine) in [("/fine", true), ("/dir/file", false), ("/nowhere", false), ("rel", false)]
    {
        let result = copy_in(
            root.as_fd(),
            path,
            Box::new(std::io::Cursor::new(tar.clone())),
            CopyIn::default(),
        );
        assert_eq!(result.is_ok(), fine, "{path}: {result:?}");
    }
    assert_eq!(fs::read_to_string(inside.join("dir/new")).unwrap(), "x");
    let strict = CopyIn { no_overwrite_dir_non_dir: true, ..CopyIn::default() };
    for (name, header) in
        [("file over dir", file("sub")), ("dir over file", Header::directory(b"file/"))]
    {
        let tar = tar_of(&[(header, b"")]);
        let result = copy_in(root.as_fd(), "dir", Box::new(std::io::Cursor::new(tar)), strict);
        assert!(result.unwrap_err().to_string().starts_with("cannot overwrite"), "{name}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// A container renames a directory to and fro with a link that leads outside, while files are
/// copied in and out.
#[test]
fn racers_lose() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};

    let base = tempfile::tempdir().unwrap();
    let (inside, outside) = (base.path().join("in"), base.path().join("out"));
    fs::create_dir_all(inside.join("a/b")).unwrap();
    fs::create_dir_all(outside.join("b")).unwrap();
    fs::write(outside.join("b/secret"), "canary").unwrap();
    symlink(&outside, inside.join("link")).unwrap();
    let root = open_root(&inside).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, two) = (inside.join("a"), inside.join("link"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let tar = tar_of(&[
            (file("b/new"), b"x"),
            (Header::directory(b"b/dir/"), b""),
            (file("b/dir/deep"), b"y"),
        ]);
        for _ in 0..1500 {
            // Either way is fine, as long as nothing happens outside.
            drop(copy_in(
                root.as_fd(),
                "a",
                Box::new(std::io::Cursor::new(tar.clone())),
                CopyIn::default(),
            ));
            let mut out = Vec::new();
            drop(copy_out(root.as_fd(), "a/b/", &mut out));
            assert!(!String::from_utf8_lossy(&out).contains("canary"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(outside.join("b")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}
