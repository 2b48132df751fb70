//! Images for tests, made on the spot: no public registry is needed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::client::Client;

/// Applets that get a link in the busybox image.
const APPLETS: &[&str] = &[
    "ash", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dmesg", "echo", "env",
    "expr", "false", "find", "free", "grep", "head", "hostname", "id", "ifconfig", "ip", "kill",
    "ln", "ls", "md5sum", "mkdir", "mknod", "mount", "mv", "nc", "nproc", "nslookup", "ping",
    "printenv", "printf", "ps", "pwd", "readlink", "rm", "route", "sed", "seq", "sh", "sleep",
    "sort", "stat", "stty", "sync", "tail", "tar", "test", "top", "touch", "tr", "true", "tty",
    "ulimit", "umount", "uname", "uniq", "wc", "wget", "whoami", "yes",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nuser:x:1000:1000:A User:/home/user:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nuser:x:1000:\nwheel:x:10:root,user\n";

/// A root file system with a static busybox, as a tar archive: Debian's `busybox-static`.
///
/// # Errors
/// When busybox is not installed.
pub fn busybox_root() -> io::Result<Vec<u8>> {
    busybox_tar()?.into_inner()
}

fn busybox_tar() -> io::Result<tar::Builder<Vec<u8>>> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find(|path| Path::new(path).is_file())
        .ok_or_else(|| io::Error::other("busybox-static is not installed"))?;
    let mut tar = tar::Builder::new(Vec::new());
    for directory in [
        "bin",
        "dev",
        "etc",
        "home",
        "home/user",
        "proc",
        "root",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "var",
    ] {
        add(
            &mut tar,
            directory,
            tar::EntryType::Directory,
            if directory == "tmp" { 0o1777 } else { 0o755 },
            b"",
            "",
        )?;
    }
    add(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &fs::read(busybox)?, "")?;
    for applet in APPLETS {
        add(&mut tar, &format!("bin/{applet}"), tar::EntryType::Symlink, 0o777, b"", "busybox")?;
    }
    add(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, PASSWD.as_bytes(), "")?;
    add(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, GROUP.as_bytes(), "")?;
    Ok(tar)
}

/// Imports the busybox image under the name `busybox`.
///
/// # Errors
/// When busybox is not installed or the import fails.
pub fn import_busybox(client: &Client) -> io::Result<()> {
    import(client, &busybox_root()?, "busybox", &["CMD [\"sh\"]", "ENV PATH=/bin:/usr/bin"])
}

/// Imports the image `base` that builds are compared upon: busybox, with the files that engines
/// mount over (`/etc/hosts` and its like), so that no engine leaves places for them in layers.
///
/// # Errors
/// As [`import_busybox`].
pub fn import_build_base(client: &Client) -> io::Result<()> {
    let mut tar = busybox_tar()?;
    for name in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        add(&mut tar, name, tar::EntryType::Regular, 0o644, b"", "")?;
    }
    let root = tar.into_inner()?;
    import(client, &root, "base", &["CMD [\"sh\"]", "ENV PATH=/bin:/usr/bin"])
}

/// Imports a root file system as an image.
///
/// # Errors
/// When the daemon refuses it.
pub fn import(client: &Client, root: &[u8], name: &str, changes: &[&str]) -> io::Result<()> {
    let mut args = vec!["import"];
    for change in changes {
        args.extend(["--change", change]);
    }
    args.extend(["-", name]);
    let ran = client.docker_with(&args, root);
    if ran.code == 0 { Ok(()) } else { Err(io::Error::other(ran.stderr)) }
}

fn add(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    content: &[u8],
    target: &str,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(1_700_000_000);
    if kind == tar::EntryType::Symlink {
        return tar.append_link(&mut header, path, target);
    }
    tar.append_data(&mut header, path, content)
}

/// Writes an image of one layer as `docker save` does: many small files, for measurements.
///
/// Images of different seeds have no file in common. `path` with the ending `layer` is used too.
///
/// # Errors
/// When the files cannot be written.
pub fn large_image(path: &Path, name: &str, files: u32, seed: u64) -> io::Result<()> {
    image_of(path, name, |layer| many_files(layer, files, 21_000, seed))
}

/// Writes an image of one layer, whose tar `fill` writes, as `docker save` does.
///
/// `path` with the ending `layer` is used too.
///
/// # Errors
/// When the files cannot be written.
pub fn image_of(
    path: &Path,
    name: &str,
    fill: impl FnOnce(io::BufWriter<fs::File>) -> io::Result<()>,
) -> io::Result<()> {
    let layer = path.with_extension("layer");
    fill(io::BufWriter::new(fs::File::create(&layer)?))?;
    let mut hasher = gantry_oci::Hasher::sha256();
    io::copy(&mut fs::File::open(&layer)?, &mut hasher)?;
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [hasher.finish().to_string()]},
    })
    .to_string();
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": ["layer.tar"]}
    ])
    .to_string();
    let mut archive = tar::Builder::new(fs::File::create(path)?);
    archive.append_path_with_name(&layer, "layer.tar")?;
    for (name, text) in [("config.json", config), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.finish()?;
    fs::remove_file(&layer)
}

/// Writes a file tree's tar to `out`: many small files, whose content depends on `seed`.
///
/// # Errors
/// When `out` cannot be written.
pub fn many_files(out: impl Write, files: u32, bytes_each: usize, seed: u64) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    let mut text = Text::new(seed);
    let mut content = Vec::with_capacity(bytes_each + WORD_MAX);
    for number in 0..files {
        content.clear();
        while content.len() < bytes_each {
            content.extend_from_slice(text.word());
        }
        content.truncate(bytes_each);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes_each as u64);
        header.set_mtime(1_700_000_000);
        let path = format!("data/d{:03}/f{number:06}", number / 100);
        tar.append_data(&mut header, path, &content[..])?;
    }
    tar.finish()
}

/// Words of a vocabulary.
const WORDS: u64 = 3584;
/// Bytes of the longest, with the space behind it.
const WORD_MAX: usize = 13;

/// Text of made-up words, some more frequent than others: gzip makes three eighths of it, as of the
/// files of a distribution.
struct Text {
    state: u64,
    words: Vec<Vec<u8>>,
}

impl Text {
    fn new(seed: u64) -> Self {
        let mut text = Self { state: 0x9e37_79b9_7f4a_7c15 ^ seed, words: Vec::new() };
        for _ in 0..WORDS {
            let letters = 3 + text.draw(10);
            let mut word: Vec<u8> = (0..letters).map(|_| text.letter()).collect();
            word.push(b' ');
            text.words.push(word);
        }
        text
    }

    /// A number below `limit`, which is at most 65,536.
    fn draw(&mut self, limit: u64) -> u64 {
        // Xorshift: the same everywhere, and quick.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state & 0xffff) * limit) >> 16
    }

    fn letter(&mut self) -> u8 {
        u8::try_from(self.draw(26)).map_or(b'?', |number| b'a' + number)
    }

    fn word(&mut self) -> &[u8] {
        let first = self.draw(WORDS);
        let at = self.draw(first + 1);
        usize::try_from(at).ok().and_then(|at| self.words.get(at)).map_or(b"? ", Vec::as_slice)
    }
}
