//! Repositories and URLs.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use gantry_build::{
    graph::{GitSource, HttpSource, Op},
    plan::Plan,
};
use gantry_build_proto::{BuildRequest, ContextSource, DockerfileSource};
use gantry_oci::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    bed::{Bed, Planner, on_host, request},
    client::TestClient,
};

/// A server of one file.
struct Server {
    url: String,
    answers: Arc<AtomicUsize>,
    content: Arc<Mutex<(String, String)>>,
}

async fn serve(content: &str) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dir/file.bin", listener.local_addr().unwrap());
    let answers = Arc::new(AtomicUsize::new(0));
    let content = Arc::new(Mutex::new((content.to_owned(), "\"one\"".to_owned())));
    let server = Server { url, answers: Arc::clone(&answers), content: Arc::clone(&content) };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let (body, etag) = content.lock().unwrap().clone();
            let answer = if request.starts_with("GET /moved") {
                "HTTP/1.1 302 Found\r\nLocation: /dir/file.bin\r\nContent-Length: 0\r\n\r\n"
                    .to_owned()
            } else if request.starts_with("GET /missing") {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else if request.starts_with("GET /loop") {
                "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else if request.to_lowercase().contains(&format!("if-none-match: {etag}")) {
                format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n")
            } else {
                answers.fetch_add(1, Ordering::Relaxed);
                format!(
                    "HTTP/1.1 200 OK\r\nETag: {etag}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            };
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.shutdown().await);
        }
    });
    server
}

fn http(url: &str, checksum: &str) -> Op {
    Op::Http(HttpSource {
        url: url.to_owned(),
        checksum: checksum.to_owned(),
        name: "file.bin".to_owned(),
    })
}

#[test]
fn a_file_behind_a_url() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let server = serve("content").await;
        let plan = |url: &str, checksum: &str| {
            let mut planner = Planner::default();
            let base = planner.base(&bed);
            let file = planner.add("ADD", http(url, checksum));
            let target = planner.copy(base, file, "/file.bin", "/");
            planner.plan(target)
        };
        let image = bed.image(&client, request(), plan(&server.url, "")).await;
        assert_eq!(bed.new_files(&image), ["file.bin f 600 0:0 content"]);
        use std::os::unix::fs::MetadataExt;
        let path = bed.snapshots.layer_path(image.lowers().last().unwrap()).join("file.bin");
        assert_eq!(std::fs::metadata(path).unwrap().mtime(), 784_111_777);
        let again = bed.image(&client, request(), plan(&server.url, "")).await;
        assert_eq!(
            (image.id.clone(), server.answers.load(Ordering::Relaxed)),
            (again.id.clone(), 1)
        );
        let right = Digest::of(b"content");
        bed.image(&client, request(), plan(&server.url, right.as_str())).await;
        let wrong = Digest::of(b"other");
        let failure = bed.failure(&client, request(), plan(&server.url, wrong.as_str())).await;
        assert!(
            failure.message.contains(&format!("digest mismatch {right}: {wrong}")),
            "{failure:?}"
        );
        *server.content.lock().unwrap() = ("changed".to_owned(), "\"two\"".to_owned());
        let image = bed.image(&client, request(), plan(&server.url, "")).await;
        assert_eq!(bed.new_files(&image), ["file.bin f 600 0:0 changed"]);
        let at = |path: &str| server.url.replace("/dir/file.bin", path);
        bed.image(&client, request(), plan(&at("/moved"), "")).await;
        for (path, want) in
            [("/missing", "invalid response status 404"), ("/loop", "stopped after 10 redirects")]
        {
            let failure = bed.failure(&client, request(), plan(&at(path), "")).await;
            assert!(failure.message.contains(want), "{failure:?}");
        }
        let failure = bed.failure(&client, request(), plan("file:///etc/passwd", "")).await;
        assert!(failure.message.contains("is no http or https URL"), "{failure:?}");
    });
}

#[test]
fn a_context_behind_a_url() {
    on_host(|dir| async move {
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        // A Dockerfile alone: the bed's plans are found by their text.
        let mut planner = Planner::default();
        let base = planner.base(&bed);
        let target = planner.run(base, "echo from-url > /x");
        let plan = planner.plan(target);
        bed.image(&client, request(), plan.clone()).await;
        let server = serve("0").await;
        let request = BuildRequest {
            contexts: BTreeMap::from([(String::new(), ContextSource::Http(server.url.clone()))]),
            dockerfile: DockerfileSource::Path("Dockerfile".to_owned()),
            ..request()
        };
        let built = bed.builder.build("x", request, client).await.unwrap();
        let image = bed.images.resolve(&built.image).unwrap();
        assert_eq!(bed.new_files(&image), ["x f 644 0:0 from-url\n"]);
    });
}

/// A git daemon; it ends with this.
struct Repositories {
    daemon: Child,
    port: u16,
    dir: std::path::PathBuf,
}

impl Repositories {
    fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        // Its workers are in its group.
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.daemon.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        let _ = self.daemon.wait();
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(["-c", "protocol.file.allow=always", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_AUTHOR_DATE", "2020-01-02T03:04:05Z")
        .env("GIT_COMMITTER_DATE", "2020-01-02T03:04:05Z")
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn repositories(dir: &Path) -> Option<Repositories> {
    use std::os::unix::process::CommandExt;
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("SKIPPED: needs git");
        return None;
    }
    let dir = dir.join("repositories");
    std::fs::create_dir_all(dir.join("one/sub")).unwrap();
    let one = dir.join("one");
    git(&one, &["init", "-q"]);
    std::fs::write(one.join("file"), "main").unwrap();
    std::fs::write(one.join("sub/inner"), "inner").unwrap();
    std::os::unix::fs::symlink("/etc", one.join("escape")).unwrap();
    git(&one, &["add", "."]);
    git(&one, &["commit", "-q", "-m", "first"]);
    git(&one, &["tag", "-a", "v1", "-m", "v1"]);
    std::fs::write(one.join("file"), "later").unwrap();
    git(&one, &["commit", "-q", "-a", "-m", "second"]);
    git(&one, &["branch", "other", "v1^{commit}"]);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let daemon = Command::new("git")
        .args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", dir.display()))
        .arg(&dir)
        .process_group(0)
        .spawn()
        .unwrap();
    let repositories = Repositories { daemon, port, dir };
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(repositories);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("git daemon does not listen");
}

/// What a reference names in a repository, without its history.
fn part_of(url: &str, reference: &str, subdirectory: &str) -> GitSource {
    GitSource {
        url: url.to_owned(),
        reference: reference.to_owned(),
        subdirectory: subdirectory.to_owned(),
        keep_git_directory: false,
        checksum: String::new(),
        submodules: true,
    }
}

/// An image with a repository's files in `/src`.
fn from_git(bed: &Bed, source: GitSource) -> Plan {
    let mut planner = Planner::default();
    let base = planner.base(bed);
    let files = planner.add("git", Op::Git(source));
    let target = planner.copy(base, files, "/", "/src/");
    planner.plan(target)
}

#[test]
fn a_repository() {
    on_host(|dir| async move {
        let Some(repositories) = repositories(&dir) else { return };
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let url = repositories.url("one");
        let source = |reference: &str, path: &str| part_of(&url, reference, path);
        let one = &repositories.dir.join("one");
        let first = git(one, &["rev-parse", "v1^{commit}"]);
        let main = [
            "src d 755 0:0 ",
            "src/escape l 777 0:0 -> /etc",
            "src/file f 644 0:0 later",
            "src/sub d 755 0:0 ",
            "src/sub/inner f 644 0:0 inner",
        ];
        let old = [
            "src d 755 0:0 ",
            "src/escape l 777 0:0 -> /etc",
            "src/file f 644 0:0 main",
            "src/sub d 755 0:0 ",
            "src/sub/inner f 644 0:0 inner",
        ];
        for (source, want) in [
            (source("", ""), &main[..]),
            (source("main", ""), &main),
            (source("v1", ""), &old),
            (source("other", ""), &old),
            (source("refs/tags/v1", ""), &old),
            (source(&first, ""), &old),
            (source("v1", "sub"), &["src d 755 0:0 ", "src/inner f 644 0:0 inner"]),
            (GitSource { checksum: first.clone(), ..source("v1", "") }, &old),
        ] {
            let shown = format!("{source:?}");
            let image = bed.image(&client, request(), from_git(&bed, source)).await;
            assert_eq!(bed.new_files(&image), want, "{shown}");
        }
        let kept = GitSource { keep_git_directory: true, ..source("v1", "") };
        let image = bed.image(&client, request(), from_git(&bed, kept)).await;
        assert!(bed.new_files(&image).iter().any(|file| file.starts_with("src/.git/HEAD f")));
        let left: Vec<_> = std::fs::read_dir(dir.join("build/git")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn what_a_repository_does_not_have() {
    on_host(|dir| async move {
        let Some(repositories) = repositories(&dir) else { return };
        let bed = Bed::open(&dir);
        let client = TestClient::new();
        let url = repositories.url("one");
        let source = |reference: &str, path: &str| part_of(&url, reference, path);
        for (source, want) in [
            (source("nosuch", ""), "repository does not contain ref nosuch"),
            (source("v1", "nosuch"), "subdir not found nosuch"),
            (source("v1", "file"), "subdir not found file"),
            // A link that leads to the host's directory of this name leads to nothing here.
            (source("v1", "escape"), "subdir not found escape"),
            (
                GitSource { checksum: "0".repeat(40), ..source("v1", "") },
                "expected checksum to match",
            ),
            (
                GitSource { url: "ext::sh -c touch% /tmp/x".into(), ..source("", "") },
                "is no address",
            ),
            (source("--upload-pack=touch", ""), "is no branch, tag or commit"),
        ] {
            let failure = bed.failure(&client, request(), from_git(&bed, source)).await;
            assert!(failure.message.contains(want), "{failure:?}");
        }
    });
}

#[test]
fn a_hostile_repository_runs_nothing() {
    on_host(|dir| async move {
        let Some(repositories) = repositories(&dir) else { return };
        let evil = repositories.dir.join("evil");
        std::fs::create_dir_all(&evil).unwrap();
        let canary = dir.join("canary");
        git(&evil, &["init", "-q"]);
        let attack = format!("touch {}", canary.display());
        for (path, text) in [
            (".gitattributes", "* filter=evil diff=evil merge=evil\n".to_owned()),
            (".gitconfig", format!("[filter \"evil\"]\n\tsmudge = {attack}\n")),
            ("hooks/post-checkout", format!("#!/bin/sh\n{attack}\n")),
            (
                ".gitmodules",
                format!(
                    "[submodule \"x\"]\n\tpath = x\n\turl = ext::{attack}\n\tupdate = !{attack}\n"
                ),
            ),
        ] {
            let path = evil.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&evil, &["add", "."]);
        let commit = git(&repositories.dir.join("one"), &["rev-parse", "HEAD"]);
        git(&evil, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},x")]);
        git(&evil, &["commit", "-q", "-m", "evil"]);
        let bed = Bed::open(&dir);
        let url = repositories.url("evil");
        for submodules in [false, true] {
            let source = GitSource { submodules, ..part_of(&url, "", "") };
            let plan = from_git(&bed, source);
            let built = bed.build(&TestClient::new(), request(), plan).await;
            assert_eq!(
                built.is_err(),
                submodules,
                "a submodule of a forbidden kind is an error: {built:?}"
            );
            assert!(!canary.exists(), "the repository ran something");
        }
    });
}
