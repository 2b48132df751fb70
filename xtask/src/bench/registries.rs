//! Images on their way from and to registries, and our registry beside Debian's docker-registry.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use gantry_rig::registry::{Registry, Server};
use gantry_rig::{Client, Daemon, Kind, Ran};
use gantry_rig::{images, installed};
use rustix::net::{RecvFlags, recv};
use serde_json::json;

use super::rows::{Pair, Rig, settle, timed};
use super::sample::{Meter, median, pss_bytes};

/// Files of the large image, and their bytes altogether.
const FILES: usize = 26_000;
const FILES_BYTES: u64 = 550_000_000;
/// Name of the large image in a registry.
const LARGE: &str = "large";
/// Clients of a registry at once.
const CLIENTS: usize = 8;
/// A blob that they fetch, bytes.
const BLOB_LEN: usize = 100_000_000;
/// Uploads at once, of so many bytes each.
const UPLOADS: usize = 32;
const UPLOAD_LEN: u64 = 1 << 30;

/// What is measured of a pull.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Seconds until the image can be run.
    Time,
    /// Seconds of processor time of the whole engine.
    Cpu,
}

/// The large image from Debian's registry, gzipped as docker.io pushes it.
pub(crate) fn pull(rig: &Rig, of: Of) -> io::Result<Pair> {
    let shelf = Shelf::new(rig, "pull")?;
    let meters = match of {
        Of::Cpu => Some([Meter::new(&rig.docker)?, Meter::new(&rig.gantry)?]),
        Of::Time => None,
    };
    let pair = rig.alternate(rig.times(3), |daemon| {
        let (image, client) = (shelf.image(daemon), client(daemon));
        remove(&client, &image);
        settle();
        let pull = || succeeded(client.docker(&["pull", "-q", &image]));
        match &meters {
            Some([docker, gantry]) => {
                let meter = if daemon.kind == Kind::Docker { docker } else { gantry };
                meter.used_s(pull)
            }
            None => timed(pull),
        }
    });
    shelf.clear(rig);
    pair
}

/// The large image pushed again where it came from.
pub(crate) fn push_again(rig: &Rig) -> io::Result<Pair> {
    let shelf = Shelf::new(rig, "again")?;
    for daemon in [&rig.docker, &rig.gantry] {
        succeeded(client(daemon).docker(&["pull", "-q", &shelf.image(daemon)]))?;
    }
    let pair = rig.alternate(rig.times(5), |daemon| {
        timed(|| succeeded(client(daemon).docker(&["push", "-q", &shelf.image(daemon)])))
    });
    shelf.clear(rig);
    pair
}

/// The large image, loaded from an archive, pushed to a repository that has nothing of it.
pub(crate) fn first_push(rig: &Rig) -> io::Result<Pair> {
    let root = rig.docker.root.join("first");
    let archive = rig.docker.root.join("first.tar");
    large_image(rig, &archive, "first")?;
    for daemon in [&rig.docker, &rig.gantry] {
        let archive = archive.to_string_lossy();
        succeeded(client(daemon).docker(&["load", "-q", "-i", &archive]))?;
    }
    fs::remove_file(&archive)?;
    let pair = rig.alternate(rig.times(3), |daemon| {
        let registry = Registry::start(Server::Debian, &root, daemon.netns_pid())?;
        let image = format!("{}/{LARGE}", registry.address);
        succeeded(client(daemon).docker(&["tag", LARGE, &image]))?;
        settle();
        let took = timed(|| succeeded(client(daemon).docker(&["push", "-q", &image])));
        remove(&client(daemon), &image);
        drop(registry);
        fs::remove_dir_all(&root)?;
        took
    });
    for daemon in [&rig.docker, &rig.gantry] {
        remove(&client(daemon), LARGE);
    }
    pair
}

/// Writes an archive of the large image: of installed files, as compressors take other times over
/// other texts. Images with different `top` have no layer in common.
fn large_image(rig: &Rig, archive: &Path, top: &str) -> io::Result<()> {
    let (files, bytes) = if rig.smoke { (50, 1_000_000) } else { (FILES, FILES_BYTES) };
    images::image_of(archive, LARGE, |layer| installed::files(layer, files, bytes, top))
}

/// The large image in a registry that both daemons reach, each in its own network.
struct Shelf {
    docker: Registry,
    gantry: Registry,
}

impl Shelf {
    fn new(rig: &Rig, name: &str) -> io::Result<Self> {
        let root = rig.docker.root.join(name);
        let archive = root.with_extension("tar");
        let start = |daemon: &Daemon| Registry::start(Server::Debian, &root, daemon.netns_pid());
        let shelf = Self { docker: start(&rig.docker)?, gantry: start(&rig.gantry)? };
        large_image(rig, &archive, name)?;
        let (client, image) = (client(&rig.docker), shelf.image(&rig.docker));
        succeeded(client.docker(&["load", "-q", "-i", &archive.to_string_lossy()]))?;
        succeeded(client.docker(&["tag", LARGE, &image]))?;
        succeeded(client.docker(&["push", "-q", &image]))?;
        remove(&client, LARGE);
        remove(&client, &image);
        fs::remove_file(&archive)?;
        Ok(shelf)
    }

    /// Removes the image from both daemons: the next row's has the same layer.
    fn clear(&self, rig: &Rig) {
        for daemon in [&rig.docker, &rig.gantry] {
            remove(&client(daemon), &self.image(daemon));
        }
    }

    fn image(&self, daemon: &Daemon) -> String {
        let registry = if daemon.kind == Kind::Docker { &self.docker } else { &self.gantry };
        format!("{}/{LARGE}", registry.address)
    }
}

/// One who waits for as long as such a push takes.
fn client(daemon: &Daemon) -> Client {
    daemon.client().patient(Duration::from_secs(300))
}

fn succeeded(ran: Ran) -> io::Result<()> {
    if ran.code == 0 { Ok(()) } else { Err(io::Error::other(ran.stdout + &ran.stderr)) }
}

fn remove(client: &Client, image: &str) {
    let _ = client.docker(&["rmi", "-f", image]);
}

/// What a registry serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// Bytes a second of blobs of 100 MB, to eight clients.
    Blobs,
    /// Manifests a second, to eight clients.
    Manifests,
}

/// Our registry beside Debian's.
pub(crate) fn serve(rig: &Rig, served: Served) -> io::Result<Pair> {
    let [reference, gantry] = [Server::Debian, Server::Gantry].map(|server| {
        let root = rig.docker.root.join(format!("serve-{server:?}"));
        let registry = Registry::start(server, &root, None)?;
        let rate = rate(rig, served, &registry.address);
        drop(registry);
        fs::remove_dir_all(&root)?;
        rate
    });
    Ok(Pair { reference: reference?, gantry: gantry? })
}

fn rate(rig: &Rig, served: Served, address: &str) -> io::Result<f64> {
    let blob = noise(if rig.smoke { 1 << 20 } else { BLOB_LEN });
    let digest = upload(address, &blob)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest, "size": blob.len(),
        },
        "layers": [],
    })
    .to_string();
    put_manifest(address, &manifest)?;
    let (path, each, turns) = match served {
        Served::Blobs => (format!("/v2/bench/blobs/{digest}"), blob.len(), 4),
        Served::Manifests => ("/v2/bench/manifests/latest".to_owned(), manifest.len(), 2_000),
    };
    let turns = if rig.smoke { 2 } else { turns };
    let mut rates = Vec::new();
    for _ in 0..rig.times(3) {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(|| fetch(address, &path, each, turns))).collect();
            clients.into_iter().try_for_each(|client| client.join().map_err(|_| panicked())?)
        })?;
        let span = begin.elapsed().as_secs_f64();
        let each = if served == Served::Blobs { each } else { 1 };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        rates.push((each * turns * CLIENTS) as f64 / span);
    }
    Ok(median(&mut rates))
}

/// Memory of our registry under 32 uploads of 1 GiB each at once, beside that of one that has
/// done nothing yet.
pub(crate) fn memory(rig: &Rig) -> io::Result<Pair> {
    let root = rig.docker.root.join("uploads");
    let registry = Registry::start(Server::Gantry, &root, None)?;
    let idle = pss_bytes(&[registry.pid()]);
    let length = if rig.smoke { 8 << 20 } else { UPLOAD_LEN };
    let barrier = Barrier::new(UPLOADS);
    let most = std::thread::scope(|scope| -> io::Result<f64> {
        let (address, barrier) = (registry.address.as_str(), &barrier);
        let uploads: Vec<_> = (0..UPLOADS)
            .map(|_| scope.spawn(move || stream_upload(address, length, barrier)))
            .collect();
        let mut most: f64 = 0.0;
        while uploads.iter().any(|upload| !upload.is_finished()) {
            most = most.max(pss_bytes(&[registry.pid()]));
            std::thread::sleep(Duration::from_millis(20));
        }
        uploads.into_iter().try_for_each(|upload| upload.join().map_err(|_| panicked())?)?;
        Ok(most)
    })?;
    drop(registry);
    fs::remove_dir_all(&root)?;
    Ok(Pair { reference: idle, gantry: most })
}

fn panicked() -> io::Error {
    io::Error::other("a client of the registry panicked")
}

/// Fetches a path over and over through one connection.
fn fetch(address: &str, path: &str, length: usize, turns: usize) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
    for _ in 0..turns {
        connection.send("GET", path, accept, b"")?;
        let answer = connection.answer()?;
        if answer.status != 200 || answer.length != length {
            let (status, got) = (answer.status, answer.length);
            return Err(io::Error::other(format!("{path}: {status}, {got} bytes of {length}")));
        }
        connection.skip(answer.length)?;
    }
    Ok(())
}

/// Uploads a blob at once; its digest.
fn upload(address: &str, blob: &[u8]) -> io::Result<String> {
    let digest = gantry_oci::Digest::of(blob).to_string();
    let mut connection = Connection::open(address)?;
    let place = connection.start_upload()?;
    let sign = if place.contains('?') { '&' } else { '?' };
    let kind = "Content-Type: application/octet-stream\r\n";
    connection.send("PUT", &format!("{place}{sign}digest={digest}"), kind, blob)?;
    connection.expect(201)?;
    Ok(digest)
}

fn put_manifest(address: &str, manifest: &str) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
    connection.send("PUT", "/v2/bench/manifests/latest", kind, manifest.as_bytes())?;
    connection.expect(201).map(drop)
}

/// Sends a large blob in one request, together with all others, and takes it back.
fn stream_upload(address: &str, length: u64, together: &Barrier) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    let place = connection.start_upload();
    together.wait();
    let place = place?;
    let piece = noise(1 << 20);
    let mut head = format!("PATCH {place} HTTP/1.1\r\nHost: {address}\r\n");
    head.push_str("Content-Type: application/octet-stream\r\n");
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    connection.stream.get_mut().write_all(head.as_bytes())?;
    for _ in 0..length / (1 << 20) {
        connection.stream.get_mut().write_all(&piece)?;
    }
    let place = connection.expect(202)?.location;
    connection.send("DELETE", &place, "", b"")?;
    connection.expect(204).map(drop)
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A connection that is kept open, so that the client costs as little as can be.
struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
    /// Room that is never written to.
    discarded: Vec<u8>,
}

/// The head of an answer.
struct Answer {
    status: u16,
    length: usize,
    location: String,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_nodelay(true)?;
        let stream = BufReader::with_capacity(16 << 10, stream);
        Ok(Self { stream, address: address.to_owned(), discarded: vec![0; 1 << 20] })
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body)
    }

    /// The path of a new upload.
    fn start_upload(&mut self) -> io::Result<String> {
        self.send("POST", "/v2/bench/blobs/uploads/", "", b"")?;
        Ok(self.expect(202)?.location)
    }

    /// An answer with this status, whose body does not matter.
    fn expect(&mut self, status: u16) -> io::Result<Answer> {
        let answer = self.answer()?;
        self.skip(answer.length)?;
        if answer.status == status {
            return Ok(answer);
        }
        Err(io::Error::other(format!("status {}, not {status}", answer.status)))
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {line:?}")))?;
        let mut answer = Answer { status, length: 0, location: String::new() };
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(answer) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    answer.length = value.trim().parse().map_err(io::Error::other)?;
                }
                // With or without the host.
                "location" => {
                    let value = value.trim();
                    let path = value
                        .split_once("://")
                        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
                    answer.location = path.unwrap_or(value).to_owned();
                }
                _ => {}
            }
        }
    }

    /// Has the kernel throw a body away, which costs the machine less than to read it: it is the
    /// server that is measured.
    fn skip(&mut self, length: usize) -> io::Result<()> {
        let buffered = self.stream.buffer().len().min(length);
        self.stream.consume(buffered);
        let mut left = length - buffered;
        while left > 0 {
            let want = left.min(self.discarded.len());
            let (got, _) =
                recv(self.stream.get_ref(), &mut self.discarded[..want], RecvFlags::TRUNC)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= got;
        }
        Ok(())
    }
}
