//! `build` as a program, against a daemon that the tests play.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_build_proto::{
    Ask, BuildRequest, Built, ContextSource, DockerfileSource, Failure, Frame, FromClient,
    FromDaemon, Kind, Listing, Place, Progress, RequestKind, Warning, decode, encode,
};

/// Longest time that a build may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The daemon's end of a build.
struct Session {
    stream: UnixStream,
    bytes: Vec<u8>,
    request: BuildRequest,
}

impl Session {
    fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = decode(&self.bytes).expect("frame") {
                self.bytes.drain(..used);
                return Some(frame);
            }
            let mut chunk = vec![0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn message(&mut self) -> Option<FromClient> {
        let frame = self.frame()?;
        assert_eq!(frame.kind, Kind::Message, "{frame:?}");
        Some(serde_json::from_slice(&frame.body).expect("message"))
    }

    fn send(&mut self, kind: Kind, stream: u32, body: &[u8]) {
        let frame = Frame { kind, stream, body: body.to_vec() };
        // A client that has gone is the test's own doing.
        let _ = self.stream.write_all(&encode(&frame));
    }

    fn say(&mut self, stream: u32, message: &FromDaemon) {
        let body = serde_json::to_vec(message).expect("JSON");
        self.send(Kind::Message, stream, &body);
    }

    fn ask(&mut self, stream: u32, ask: Ask) {
        self.say(stream, &FromDaemon::Ask(ask));
    }

    /// Asks for a stream; its bytes, or why there are none.
    fn stream(&mut self, stream: u32, ask: Ask) -> Result<Vec<u8>, String> {
        self.ask(stream, ask);
        let mut all = Vec::new();
        loop {
            let frame = self.frame().expect("answer");
            match frame.kind {
                Kind::Data => all.extend(frame.body),
                Kind::End if frame.body.is_empty() => return Ok(all),
                Kind::End => return Err(String::from_utf8(frame.body).expect("text")),
                Kind::Message => match serde_json::from_slice(&frame.body).expect("message") {
                    FromClient::Refused(why) => return Err(why),
                    other => panic!("{other:?}"),
                },
            }
        }
    }

    fn list(&mut self, stream: u32, context: &str, directory: &str) -> Result<Listing, String> {
        let (context, directory) = (context.to_owned(), directory.to_owned());
        self.ask(stream, Ask::List { context, directory, known: String::new(), shallow: false });
        match self.message().expect("answer") {
            FromClient::Listing(listing) => Ok(listing),
            FromClient::Refused(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, stream: u32, path: &str) -> Result<Vec<u8>, String> {
        self.stream(stream, Ask::Read { context: String::new(), path: path.into() })
    }

    /// Gives an output out.
    fn output(&mut self, stream: u32, index: usize, content: &[u8]) {
        self.say(stream, &FromDaemon::Output(index));
        for piece in content.chunks(1000) {
            self.send(Kind::Data, stream, piece);
        }
        self.send(Kind::End, stream, &[]);
    }

    fn done(&mut self, built: Built) {
        self.say(0, &FromDaemon::Done(Box::new(built)));
    }

    fn failed(&mut self, failure: Failure) {
        self.say(0, &FromDaemon::Failed(Box::new(failure)));
    }

    /// Tells how a recorded build went.
    fn play(&mut self, recording: &str) {
        for line in recording.lines() {
            let moment: serde_json::Value = serde_json::from_str(line).expect("moment");
            let progress = serde_json::from_value(moment["event"].clone()).expect("event");
            self.say(0, &FromDaemon::Progress(progress));
        }
    }
}

/// A daemon for one build.
struct Daemon {
    directory: tempfile::TempDir,
    played: Option<JoinHandle<()>>,
}

/// The answer to everything but a build.
const PONG: &str =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Reads the head of a request; nothing at the end of the connection.
fn head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.extend_from_slice(&byte);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

impl Daemon {
    /// Listens, and plays `script` with the first build that comes.
    fn play(script: impl FnOnce(&mut Session) + Send + 'static) -> Self {
        Self::answer("HTTP/1.1 101 UPGRADED\r\n\r\n", script)
    }

    fn answer(answer: &'static str, script: impl FnOnce(&mut Session) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let listener = UnixListener::bind(directory.path().join("sock")).expect("socket");
        let played = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("connection");
                let head = head(&mut stream).expect("request");
                if !head.starts_with("POST") {
                    stream.write_all(PONG.as_bytes()).expect("answered");
                    continue;
                }
                assert!(head.contains("/gantry/build "), "{head}");
                assert!(head.contains("Upgrade: gantry-build\r\n"), "{head}");
                stream.write_all(answer.as_bytes()).expect("answered");
                let request = BuildRequest::default();
                let mut session = Session { stream, bytes: Vec::new(), request };
                if answer.contains(" 101 ") {
                    match session.message() {
                        Some(FromClient::Build(request)) => session.request = *request,
                        other => panic!("{other:?}"),
                    }
                }
                return script(&mut session);
            }
        });
        Self { directory, played: Some(played) }
    }

    /// A file in the directory that builds are started in.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.directory.path().join("work").join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(path, content).expect("file");
    }

    fn read(&self, name: &str) -> String {
        let path = self.directory.path().join("work").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let work = self.directory.path().join("work");
        std::fs::create_dir_all(&work).expect("directory");
        let mut command = Command::new(program());
        command
            .arg("build")
            .args(args)
            .current_dir(work)
            .env("DOCKER_HOST", format!("unix://{}", self.directory.path().join("sock").display()))
            .env("DOCKER_CONFIG", "/nonexistent")
            .env_remove("DOCKER_API_VERSION")
            .env_remove("BUILDKIT_PROGRESS")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// Builds, and waits until both sides are through.
    fn build(mut self, args: &[&str], stdin: &[u8]) -> (Ran, Self) {
        let mut command = self.command(args);
        if !stdin.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("starts");
        if let Some(mut pipe) = child.stdin.take() {
            let stdin = stdin.to_vec();
            std::thread::spawn(move || pipe.write_all(&stdin));
        }
        let ran = Ran::of(finish(child));
        if let Some(played) = self.played.take() {
            played.join().unwrap_or_else(|_| panic!("the daemon's side failed\n{}", ran.stderr));
        }
        (ran, self)
    }
}

/// What a build did.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }

    #[track_caller]
    fn ok(&self) {
        assert_eq!(self.code, 0, "{}", self.stderr);
    }
}

/// The example program; `cargo test` builds it.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("test");
    let built = test.parent().and_then(Path::parent).expect("target").join("examples/gantry-cli");
    assert!(built.exists(), "the example gantry-cli is not built");
    built
}

fn finish(child: Child) -> Output {
    let pid = i32::try_from(child.id()).expect("pid");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    receiver
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| {
            signal(pid, rustix::process::Signal::KILL);
            panic!("the build did not end");
        })
        .expect("waited for")
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("pid");
    let _ = rustix::process::kill_process(pid, signal);
}

fn built(image: &str) -> Built {
    let names = vec!["docker.io/library/foo:latest".into(), "docker.io/bar/baz:1".into()];
    Built { image: image.into(), manifest: "sha256:22".into(), names, ..Built::default() }
}

const GOOD: &str = include_str!("../golden/build/good.jsonl");
const BAD: &str = include_str!("../golden/build/bad.jsonl");

#[test]
fn a_directory_is_built() {
    let daemon = Daemon::play(|session| {
        let request = session.request.clone();
        assert_eq!(request.tags, ["foo", "bar/baz:1"]);
        let text = "FROM scratch\nCOPY . /\n".to_owned();
        assert_eq!(request.dockerfile, DockerfileSource::Text { name: "Dockerfile".into(), text });
        assert_eq!(request.ignore, "*.log\n");
        assert!(matches!(request.contexts[""], ContextSource::Client { .. }));
        let listing = session.list(1, "", "").expect("listing");
        let names: Vec<String> =
            listing.entries.into_iter().flatten().map(|entry| entry.name).collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "a"]);
        assert_eq!(session.read(2, "a").as_deref(), Ok(&b"hello"[..]));
        assert_eq!(session.read(3, "b.log"), Err("b.log: not found".into()));
        session.play(GOOD);
        session.done(built("sha256:11"));
    });
    daemon.write("ctx/Dockerfile", "FROM scratch\nCOPY . /\n");
    daemon.write("ctx/.dockerignore", "*.log\n");
    daemon.write("ctx/a", "hello");
    daemon.write("ctx/b.log", "never sent");
    let args = ["-t", "foo", "-t", "bar/baz:1", "--iidfile", "id", "--metadata-file", "m", "ctx"];
    let (ran, daemon) = daemon.build(&args, b"");
    ran.ok();
    assert_eq!(ran.stdout, b"");
    let begin = "#0 building with \"default\" instance using gantry driver\n\n#1 [internal] load";
    assert!(ran.stderr.starts_with(begin), "{}", ran.stderr);
    assert!(ran.stderr.contains("#9 naming to docker.io/library/foo:1 done\n#9 DONE"));
    assert_eq!(daemon.read("id"), "sha256:11");
    let metadata: BTreeMap<String, String> =
        serde_json::from_str(&daemon.read("m")).expect("metadata");
    assert_eq!(metadata["containerimage.config.digest"], "sha256:11");
    assert_eq!(metadata["containerimage.digest"], "sha256:22");
    assert_eq!(metadata["image.name"], "docker.io/library/foo:latest,docker.io/bar/baz:1");
}

#[test]
fn quiet_prints_the_id_alone() {
    let daemon = Daemon::play(|session| {
        session.play(GOOD);
        session.done(built("sha256:11"));
    });
    daemon.write("Dockerfile", "FROM scratch\n");
    let (ran, _) = daemon.build(&["-q", "."], b"");
    ran.ok();
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_str()), (&b"sha256:11\n"[..], ""));
}

fn failure() -> Failure {
    let lines = ["FROM busybox AS a", "RUN echo hi; echo oops >&2; exit 7", ""];
    Failure {
        message: "process \"/bin/sh -c echo hi; echo oops >&2; exit 7\" did not complete successfully: exit code: 7".into(),
        place: Some(Place {
            file: "Dockerfile".into(),
            first: 2,
            last: 2,
            shown_from: 1,
            lines: lines.map(str::to_owned).to_vec(),
        }),
        exit_code: 7,
        last_output: "hi\noops\n".into(),
        ..Failure::default()
    }
}

#[test]
fn a_failure_is_shown_with_its_place() {
    for (args, shown) in [
        (&["."][..], include_str!("../golden/build/failed.txt")),
        (&["-q", "."], include_str!("../golden/build/failed.quiet.txt")),
    ] {
        let daemon = Daemon::play(|session| {
            session.play(BAD);
            session.failed(failure());
        });
        daemon.write("Dockerfile", "FROM busybox AS a\nRUN echo hi; echo oops >&2; exit 7\n");
        daemon.write("id", "of an earlier build");
        let (ran, daemon) = daemon.build(&[&["--iidfile", "id"], args].concat(), b"");
        assert_eq!(ran.code, 1);
        assert_eq!(ran.stdout, b"");
        // Times of the recording are not those of this build.
        let stderr: String = ran
            .stderr
            .lines()
            .skip_while(|line| args.len() == 1 && *line != "------")
            .map(|line| format!("{line}\n"))
            .collect();
        if std::env::var_os("GOLDEN").is_some() {
            let name = if args.len() == 1 { "failed.txt" } else { "failed.quiet.txt" };
            let path = format!("{}/tests/golden/build/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &stderr).expect("written");
            continue;
        }
        assert_eq!(stderr, shown, "{args:?}");
        assert!(!daemon.directory.path().join("work/id").exists(), "a stale id is left");
    }
}

#[test]
fn standard_input_is_a_context_or_a_dockerfile() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(13);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", &b"FROM scratch\n"[..]).expect("file");
    let tar = tar.into_inner().expect("tar");
    let sent = tar.clone();
    let daemon = Daemon::play(move |session| {
        assert_eq!(session.request.contexts[""], ContextSource::ClientTar);
        assert_eq!(session.request.dockerfile, DockerfileSource::Path("sub/Dockerfile".into()));
        assert_eq!(session.stream(1, Ask::Tar(String::new())), Ok(sent));
        let again = session.stream(2, Ask::Tar(String::new()));
        assert!(again.expect_err("once only").ends_with("not found"));
        session.done(Built::default());
    });
    daemon.build(&["-f", "sub/Dockerfile", "-"], &tar).0.ok();

    let text = || "FROM scratch\nLABEL a=b\n".to_owned();
    let want = DockerfileSource::Text { name: "Dockerfile".into(), text: text() };
    let expected = want.clone();
    let daemon = Daemon::play(move |session| {
        assert_eq!(session.request.contexts[""], ContextSource::Empty);
        assert_eq!(session.request.dockerfile, expected);
        session.done(Built::default());
    });
    daemon.build(&["-"], text().as_bytes()).0.ok();

    let daemon = Daemon::play(move |session| {
        assert!(matches!(session.request.contexts[""], ContextSource::Client { .. }));
        assert_eq!(session.request.dockerfile, want);
        session.done(Built::default());
    });
    daemon.build(&["-f", "-", "."], text().as_bytes()).0.ok();
}

#[test]
fn contexts_and_dockerfiles_may_lie_anywhere() {
    let daemon = Daemon::play(|session| {
        let request = session.request.clone();
        let DockerfileSource::Text { name, text } = &request.dockerfile else { panic!("no text") };
        assert_eq!((name.as_str(), text.as_str()), ("Other", "FROM other\n"));
        assert_eq!(request.ignore, "a\n", "the Dockerfile's own ignore file");
        assert_eq!(session.read(1, "a"), Err("a: not found".into()));
        assert_eq!(session.read(2, "b").as_deref(), Ok(&b"b"[..]));
        assert!(matches!(request.contexts["more"], ContextSource::Client { .. }));
        assert_ne!(request.contexts["more"], request.contexts[""]);
        assert_eq!(request.contexts["base"], ContextSource::Image("alpine:3".into()));
        let listing = session.list(3, "more", "").expect("listing");
        assert_eq!(listing.entries.expect("entries").len(), 1);
        assert!(session.list(4, "nosuch", "").is_err());
        let listing = session.list(5, "cache:0", "").expect("listing");
        assert_eq!(listing.entries.expect("entries")[0].name, "index.json");
        session.say(6, &FromDaemon::CacheOutput(0));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        tar.append_data(&mut header, "index.json", &b"{}"[..]).expect("file");
        session.send(Kind::Data, 6, &tar.into_inner().expect("tar"));
        session.send(Kind::End, 6, &[]);
        session.done(Built::default());
    });
    daemon.write("ctx/a", "a");
    daemon.write("ctx/b", "b");
    daemon.write("ctx/.dockerignore", "b\n");
    daemon.write("files/Other", "FROM other\n");
    daemon.write("files/Other.dockerignore", "a\n");
    daemon.write("more/x", "x");
    daemon.write("more/y", "y");
    daemon.write("more/.dockerignore", "y\n.dockerignore\n");
    daemon.write("cache/index.json", "{}");
    let args = [
        "-f",
        "files/Other",
        "--build-context",
        "more=more",
        "--build-context=base=docker-image://alpine:3",
        "--cache-from=type=local,src=cache",
        "--cache-to=type=local,dest=new/cache",
        "ctx",
    ];
    let (ran, daemon) = daemon.build(&args, b"");
    ran.ok();
    assert_eq!(daemon.read("new/cache/index.json"), "{}");
}

#[test]
fn remote_contexts_are_the_daemons() {
    for (context, want) in [
        ("https://example.com/x.git#v1", ContextSource::Git("https://example.com/x.git#v1".into())),
        ("https://example.com/x.tar", ContextSource::Http("https://example.com/x.tar".into())),
    ] {
        let daemon = Daemon::play(move |session| {
            assert_eq!(session.request.contexts[""], want);
            assert_eq!(session.request.dockerfile, DockerfileSource::Path("sub/D".into()));
            session.done(Built::default());
        });
        daemon.build(&["-f", "sub/D", context], b"").0.ok();
    }
}

fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().expect("length"));
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).expect("file");
    }
    tar.into_inner().expect("tar")
}

#[test]
fn outputs_are_written_here() {
    let daemon = Daemon::play(|session| {
        let files = tarball(&[("a", "hello"), ("b/c", "deep")]);
        session.output(1, 0, &files);
        session.output(2, 1, &files);
        session.output(3, 2, b"to standard output");
        session.done(Built::default());
    });
    daemon.write("Dockerfile", "FROM scratch\n");
    let args = ["-o", "out", "-o", "type=tar,dest=out.tar", "-o", "type=oci,dest=-", "."];
    let (ran, daemon) = daemon.build(&args, b"");
    ran.ok();
    assert_eq!(ran.stdout, b"to standard output");
    assert_eq!(daemon.read("out/b/c"), "deep");
    let tar = std::fs::read(daemon.directory.path().join("work/out.tar")).expect("tar");
    assert_eq!(tar, tarball(&[("a", "hello"), ("b/c", "deep")]));
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let daemon = Daemon::play(|session| {
        let files = tarball(&[("a", "x"), ("a/b", "under a file")]);
        session.output(1, 0, &files);
        assert_eq!(session.message(), Some(FromClient::Cancel));
    });
    daemon.write("Dockerfile", "FROM scratch\n");
    let (ran, _) = daemon.build(&["-o", "out", "."], b"");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("ERROR: failed to solve: out: "), "{}", ran.stderr);
}

#[test]
fn secrets_and_agents_are_given() {
    let daemon = Daemon::play(|session| {
        assert_eq!(session.request.secrets, ["file", "variable"]);
        assert_eq!(session.request.ssh, ["default"]);
        assert_eq!(session.stream(1, Ask::Secret("file".into())), Ok(b"from a file".to_vec()));
        assert_eq!(session.stream(2, Ask::Secret("variable".into())), Ok(b"from env".to_vec()));
        let why = session.stream(3, Ask::Secret("other".into())).expect_err("no such secret");
        assert_eq!(why, "secret other: not found");
        session.ask(4, Ask::Ssh("default".into()));
        session.send(Kind::Data, 4, &[0, 0, 0, 1, 11]);
        let frame = session.frame().expect("answer");
        assert_eq!((frame.kind, frame.body), (Kind::Data, vec![0, 0, 0, 5, 12, 0, 0, 0, 0]));
        session.done(Built::default());
    });
    daemon.write("Dockerfile", "FROM scratch\n");
    daemon.write("secret", "from a file");
    let agent = daemon.directory.path().join("agent");
    let listener = UnixListener::bind(&agent).expect("socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connection");
        let mut question = [0; 5];
        stream.read_exact(&mut question).expect("question");
        stream.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).expect("answer");
        let _ = stream.read(&mut question);
    });
    let ssh = format!("default={}", agent.display());
    let mut command = daemon.command(&[
        "--secret",
        "id=file,src=secret",
        "--secret",
        "id=variable,env=VARIABLE",
        "--ssh",
        &ssh,
        ".",
    ]);
    let child = command.env("VARIABLE", "from env").spawn().expect("starts");
    Ran::of(finish(child)).ok();
}

#[test]
fn checks_are_answered() {
    let daemon = Daemon::play(|session| {
        assert_eq!(session.request.kind, RequestKind::Check);
        assert!(session.request.outputs.is_empty());
        let message = "Stage name 'A' should be lowercase".to_owned();
        let warning = Warning { rule: "StageNameCasing".into(), message, ..Warning::default() };
        session.say(0, &FromDaemon::Progress(Progress::Warning(warning.clone())));
        session.done(Built { warnings: vec![warning], ..Built::default() });
    });
    daemon.write("Dockerfile", "FROM scratch AS A\n");
    let (ran, _) = daemon.build(&["--check", "."], b"");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let text = String::from_utf8(ran.stdout).expect("text");
    assert_eq!(
        text,
        "Check complete, 1 warning has been found!\n\nWARNING: StageNameCasing\nStage name 'A' should be lowercase\n"
    );
    assert!(!ran.stderr.contains("warning found"), "said twice: {}", ran.stderr);
}

#[test]
fn interrupts_end_a_build() {
    // A daemon that stops when it is told to, one that does not, and one that is not waited for.
    for (obeys, interrupts) in [(true, 1), (false, 1), (false, 2)] {
        let (told, asked) = mpsc::channel();
        let mut daemon = Daemon::play(move |session| {
            session.play(GOOD.split_at(GOOD.len() / 2).0.rsplit_once('\n').expect("lines").0);
            told.send(()).expect("told");
            assert_eq!(session.message(), Some(FromClient::Cancel));
            match obeys {
                true => session.failed(Failure { cancelled: true, ..Failure::default() }),
                false => assert_eq!(session.message(), None),
            }
        });
        daemon.write("Dockerfile", "FROM scratch\n");
        let child = daemon.command(&["."]).spawn().expect("starts");
        let pid = i32::try_from(child.id()).expect("pid");
        asked.recv_timeout(LIMIT).expect("under way");
        std::thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        for _ in 0..interrupts {
            signal(pid, rustix::process::Signal::INT);
            std::thread::sleep(Duration::from_millis(50));
        }
        let ran = Ran::of(finish(child));
        let took = begin.elapsed();
        assert_eq!(ran.code, 130, "{}", ran.stderr);
        assert!(ran.stderr.ends_with("ERROR: failed to solve: Canceled: context canceled\n"));
        let limit = if obeys || interrupts > 1 { 700 } else { 1500 };
        assert!(took < Duration::from_millis(limit), "{took:?} with {obeys} {interrupts}");
        daemon.played.take().expect("daemon").join().expect("played");
    }
}

#[test]
fn what_cannot_be_built_is_said() {
    for (args, want) in [
        (&["nosuch"][..], "ERROR: unable to prepare context: path \"nosuch\" not found\n"),
        (&["file"], "ERROR: unable to prepare context: path \"file\" not found\n"),
        (
            &["empty"],
            "ERROR: failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory\n",
        ),
        (
            &["-f", "nosuch", "."],
            "ERROR: failed to solve: failed to read dockerfile: open nosuch: no such file or directory\n",
        ),
        (
            &["-f", "-", "-"],
            "ERROR: invalid argument: can't use stdin for both build context and dockerfile\n",
        ),
        (
            &["--secret", "id=x,src=/nosuch", "."],
            "ERROR: failed to stat /nosuch: stat /nosuch: no such file or directory\n",
        ),
        (
            &["--ssh", "default", "."],
            "ERROR: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set\n",
        ),
        (
            &["--build-context", "x=nosuch", "."],
            "ERROR: failed to get build context x: stat nosuch: no such file or directory\n",
        ),
        (&["-t", "BAD", "."], "ERROR: invalid tag \"BAD\": repository name must be lowercase\n"),
        (&["--push", "."], "ERROR: tag is needed when pushing to registry\n"),
        (
            &["-f", "https://example.com/D", "."],
            "ERROR: a Dockerfile behind a URL is not implemented: https://example.com/D\n",
        ),
    ] {
        let daemon = Daemon { directory: tempfile::tempdir().expect("directory"), played: None };
        daemon.write("file", "x");
        daemon.write("empty/x", "x");
        daemon.write("Dockerfile", "FROM scratch\n");
        let (ran, _) = daemon.build(args, b"");
        assert_eq!((ran.code, ran.stderr.as_str()), (1, want), "{args:?}");
    }
}

#[test]
fn daemons_that_do_not_build_are_told_apart() {
    let daemon = Daemon::answer(
        "HTTP/1.1 404 Not Found\r\nContent-Length: 30\r\n\r\n{\"message\":\"page not found\"}\r\n",
        |_| {},
    );
    daemon.write("Dockerfile", "FROM scratch\n");
    let (ran, _) = daemon.build(&["."], b"");
    assert_eq!(ran.code, 1);
    let want =
        "ERROR: the daemon does not build in this way: it is not Gantry's, or an older one\n";
    assert_eq!(ran.stderr, want);

    let daemon = Daemon::play(|session| session.play(BAD));
    daemon.write("Dockerfile", "FROM scratch\n");
    let (ran, _) = daemon.build(&["."], b"");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("the daemon ended the connection of the build"), "{}", ran.stderr);
}

#[test]
fn a_terminal_gets_a_view() {
    let mut daemon = Daemon::play(|session| {
        session.play(GOOD);
        std::thread::sleep(Duration::from_millis(300));
        session.done(built("sha256:11"));
    });
    daemon.write("Dockerfile", "FROM scratch\n");
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let terminal = rustix::pty::openpt(flags).expect("terminal");
    rustix::pty::unlockpt(&terminal).expect("unlocked");
    let name = rustix::pty::ptsname(&terminal, Vec::new()).expect("name");
    let name = name.to_str().expect("name");
    let size = rustix::termios::Winsize { ws_row: 30, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal, size).expect("size");
    let side = std::fs::File::options().read(true).write(true).open(name).expect("terminal");
    let mut command = daemon.command(&["."]);
    command.env("TERM", "xterm").env_remove("NO_COLOR").stderr(side);
    let mut child = command.spawn().expect("starts");
    drop(command);
    let (mut shown, mut chunk) = (Vec::new(), [0; 4096]);
    let mut terminal = std::fs::File::from(terminal);
    // At the end of its last user a terminal reads as broken.
    while let Ok(count) = terminal.read(&mut chunk) {
        shown.extend_from_slice(&chunk[..count]);
    }
    assert!(child.wait().expect("waited for").success());
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("[+] Building 0."), "{shown}");
    let last = shown.rsplit("[+] Building").next().expect("last view");
    assert!(last.contains("(9/9) FINISHED") && last.contains("gantry:default"), "{last}");
    assert!(last.contains("\u{1b}[34m => exporting to image"), "{last:?}");
    daemon.played.take().expect("daemon").join().expect("played");
}
