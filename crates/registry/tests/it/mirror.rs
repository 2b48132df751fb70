//! Pull-through of several upstreams beside what is pushed here.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use gantry_oci::{Digest, image::media};
use tempfile::TempDir;

use crate::{
    fixture::{Document, image, index, noise, push, push_blob, push_image},
    http::At,
    process::{Running, free_port},
};

/// An upstream and a registry in front of it, for names below `up`.
struct Pair {
    upstream: Option<Running>,
    front: Running,
    roots: [TempDir; 2],
}

impl Pair {
    fn new(through: impl Fn(&str) -> String, rest: &str) -> Self {
        let roots = [(); 2].map(|()| TempDir::new().expect("a directory"));
        let upstream = Running::ours(roots[0].path(), &[]);
        let url = through(&upstream.at.address);
        let front = front(&roots[1], &format!("prefix = \"up\"\nurl = \"http://{url}\"\n{rest}"));
        Self { upstream: Some(upstream), front, roots }
    }

    fn up(&self) -> &At {
        &self.upstream.as_ref().expect("it runs").at
    }
}

fn front(root: &TempDir, mirror: &str) -> Running {
    let config = root.path().join("config.toml");
    fs::write(&config, format!("[[mirrors]]\n{mirror}")).expect("written");
    Running::ours(&root.path().join("data"), &["--config", &config.display().to_string()])
}

fn direct(address: &str) -> String {
    address.to_owned()
}

/// Pulls an image of one layer, as clients do; returns the layer.
fn pull(at: &At, name: &str, reference: &str) -> Vec<u8> {
    let manifest = at.get(&format!("/v2/{name}/manifests/{reference}")).expect(200);
    let value = manifest.json();
    let get = |digest: &serde_json::Value| {
        let digest = digest.as_str().expect("a digest");
        at.get(&format!("/v2/{name}/blobs/{digest}")).expect(200).body
    };
    get(&value["config"]["digest"]);
    get(&value["layers"][0]["digest"])
}

#[test]
fn what_is_not_here_is_fetched_and_kept() {
    let mut pair = Pair::new(direct, "");
    let document = push_image(pair.up(), "team/app", "v1", 1);
    let (front, name) = (pair.front.at.clone(), "up/team/app");
    assert!(pull(&front, name, "v1") == noise(1, 1000));
    let digest = document.digest();
    let head = front.head(&format!("/v2/{name}/manifests/v1")).expect(200);
    assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
    // Names that are not below the prefix have no upstream.
    front.get("/v2/team/app/manifests/v1").expect(404);
    front.get(&format!("/v2/{name}/manifests/v9")).expect(404);
    front.get(&format!("/v2/{name}/blobs/{}", Digest::of(b"nowhere"))).expect(404);
    // Without its upstream it has what it fetched.
    drop(pair.upstream.take());
    assert!(pull(&front, name, "v1") == noise(1, 1000));
    front.get(&format!("/v2/{name}/manifests/{digest}")).expect(200);
    front.get(&format!("/v2/{name}/manifests/v2")).expect(502);
}

#[test]
fn indexes_and_parts_and_heads() {
    let pair = Pair::new(direct, "");
    let one = push_image(pair.up(), "app", "one", 1);
    let both = index(&[&one, &push_image(pair.up(), "app", "two", 2)]);
    push(pair.up(), "app", "both", &both).expect(201);
    let large = noise(3, 3_000_000);
    let digest = push_blob(pair.up(), "app", &large);
    let at = &pair.front.at;
    assert_eq!(at.get("/v2/up/app/manifests/both").expect(200).body, both.bytes);
    // The manifest of a platform is asked for by digest.
    let child = at.get(&format!("/v2/up/app/manifests/{}", one.digest())).expect(200);
    assert_eq!(child.body, one.bytes);
    let path = format!("/v2/up/app/blobs/{digest}");
    assert_eq!(at.head(&path).expect(200).header("content-length"), Some("3000000"));
    let part = at.send("GET", &path, &[("Range", "bytes=1000000-1000009")], None).expect(206);
    assert_eq!(part.body, large[1_000_000..1_000_010]);
    assert!(at.get(&path).expect(200).body == large);
}

#[test]
fn what_is_pushed_here_counts_first() {
    let pair = Pair::new(direct, "fresh-for = \"0s\"\n");
    push_image(pair.up(), "app", "v1", 1);
    let at = &pair.front.at;
    let own = push_image(at, "up/app", "v1", 2);
    assert_eq!(at.get("/v2/up/app/manifests/v1").expect(200).body, own.bytes);
    let other = push_image(at, "local/app", "v1", 3);
    assert_eq!(at.get("/v2/local/app/manifests/v1").expect(200).body, other.bytes);
}

#[test]
fn tags_are_asked_for_again_when_they_are_not_fresh() {
    let mut pair = Pair::new(direct, "fresh-for = \"1s\"\n");
    let at = pair.front.at.clone();
    let first = push_image(pair.up(), "app", "latest", 1);
    let get = || at.get("/v2/up/app/manifests/latest").expect(200).body;
    assert_eq!(get(), first.bytes);
    let second = push_image(pair.up(), "app", "latest", 2);
    assert_eq!(get(), first.bytes, "fresh for a second");
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(get(), second.bytes);
    drop(pair.upstream.take());
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(get(), second.bytes, "as it is when upstream does not answer");
    assert!(pair.roots[1].path().exists());
}

/// Passes connections on, counts what comes back, and cuts it off after so many bytes.
struct Proxy {
    address: String,
    /// Bytes that came back over all connections.
    passed_bytes: Arc<AtomicU64>,
    /// Connections that were cut off.
    cuts: Arc<AtomicUsize>,
    /// How many bytes an answer may have; none means all.
    cut_bytes: Arc<AtomicU64>,
}

impl Proxy {
    fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let proxy = Self {
            address,
            passed_bytes: Arc::default(),
            cuts: Arc::default(),
            cut_bytes: Arc::default(),
        };
        let (upstream, shared) = (upstream.to_owned(), proxy.shared());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { return };
                shared.shared().pass(client, server);
            }
        });
        proxy
    }

    /// The same proxy.
    fn shared(&self) -> Self {
        Self {
            address: self.address.clone(),
            passed_bytes: Arc::clone(&self.passed_bytes),
            cuts: Arc::clone(&self.cuts),
            cut_bytes: Arc::clone(&self.cut_bytes),
        }
    }

    fn pass(self, client: TcpStream, server: TcpStream) {
        let (mut from, mut to) =
            (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let cut_bytes = self.cut_bytes.load(Ordering::Relaxed);
        thread::spawn(move || {
            let (mut from, mut to) = (server, client);
            let (mut buffer, mut passed) = ([0; 16 << 10], 0_u64);
            while let Ok(read) = from.read(&mut buffer)
                && read > 0
            {
                passed += read as u64;
                self.passed_bytes.fetch_add(read as u64, Ordering::Relaxed);
                if cut_bytes > 0 && passed > cut_bytes {
                    self.cuts.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}

/// An upstream behind a proxy.
fn behind_proxy() -> (Pair, Proxy) {
    let mut proxy = None;
    let through = std::cell::RefCell::new(&mut proxy);
    let pair = Pair::new(
        |address| {
            let made = Proxy::to(address);
            let address = made.address.clone();
            **through.borrow_mut() = Some(made);
            address
        },
        "",
    );
    (pair, proxy.expect("a proxy"))
}

#[test]
fn a_blob_is_fetched_once_for_many() {
    let (pair, proxy) = behind_proxy();
    let data = noise(1, 20_000_000);
    let digest = push_blob(pair.up(), "app", &data);
    let path = format!("/v2/up/app/blobs/{digest}");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(pair.front.at.get(&path).expect(200).body == data));
        }
    });
    // Some may have come when it was whole already; nobody fetched it again.
    let passed = proxy.passed_bytes.load(Ordering::Relaxed);
    assert!(passed < data.len() as u64 + (64 << 10), "{passed} bytes came");
}

#[test]
fn a_fetch_that_breaks_off_goes_on_where_it_was() {
    let (pair, proxy) = behind_proxy();
    let data = noise(2, 5_000_000);
    let digest = push_blob(pair.up(), "app", &data);
    proxy.cut_bytes.store(2_000_000, Ordering::Relaxed);
    let path = format!("/v2/up/app/blobs/{digest}");
    assert!(pair.front.at.get(&path).expect(200).body == data);
    let passed = proxy.passed_bytes.load(Ordering::Relaxed);
    assert!(passed < data.len() as u64 + (512 << 10), "{passed} bytes came: what was here is kept");
    assert_eq!(proxy.cuts.load(Ordering::Relaxed), 2);
}

/// An upstream that sends other bytes than the digest says.
#[test]
fn a_lying_upstream_is_not_believed() {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let promised = image(b"{}", &[b"layer"]);
    let lie = Document { bytes: promised.bytes.to_ascii_uppercase(), ..promised.clone() };
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let kind = media::MANIFEST;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                lie.bytes.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&lie.bytes);
        }
    });
    let root = TempDir::new().expect("a directory");
    let running = front(&root, &format!("prefix = \"up\"\nurl = \"http://127.0.0.1:{port}\"\n"));
    let at = &running.at;
    at.get(&format!("/v2/up/app/manifests/{}", promised.digest())).expect(502);
    let digest = Digest::of(b"layer");
    // The answer has begun when the lie is found: it must not end as if it were whole.
    let answer = at.try_send("GET", &format!("/v2/up/app/blobs/{digest}"), &[], None);
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 502));
    let data = root.path().join("data");
    assert_eq!(fs::read_dir(data.join("blobs/sha256")).expect("read").count(), 0);
    assert_eq!(fs::read_dir(data.join("uploads")).expect("read").count(), 0);
}

#[test]
fn an_upstream_with_passwords_gets_one() {
    let root = TempDir::new().expect("a directory");
    let htpasswd = root.path().join("htpasswd");
    let line = format!("cache:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
    fs::write(&htpasswd, line).expect("written");
    for challenge in ["basic", "token"] {
        let config = root.path().join(format!("{challenge}.toml"));
        let text = format!(
            "[auth]\nhtpasswd = {:?}\nchallenge = \"{challenge}\"\n",
            htpasswd.display().to_string()
        );
        fs::write(&config, text).expect("written");
        let config = config.display().to_string();
        let upstream = Running::ours(&root.path().join(challenge), &["--config", &config]);
        let user =
            At { authorization: Some("Basic Y2FjaGU6c2VjcmV0".to_owned()), ..upstream.at.clone() };
        push_image(&user, "team/app", "v1", 1);
        let directory = TempDir::new().expect("a directory");
        let mirror = format!(
            "url = \"http://{}\"\nusername = \"cache\"\npassword = \"secret\"\n",
            upstream.at.address
        );
        let front = front(&directory, &mirror);
        assert!(pull(&front.at, "team/app", "v1") == noise(1, 1000), "{challenge}");
    }
}
