//! Real servers under load, over published ports, while the daemon is killed and started again.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::debian::import_debian;
use crate::lan::{HOST4, HOST6, Lan, within};

/// Longest time for one request. A packet lost is sent again within it; a connection lost is not.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const KILLS: u32 = 6;
/// Between two requests of one client, so that ports for new connections do not run out.
const PAUSE: Duration = Duration::from_millis(2);

const NGINX: &str = "
    cat >/tmp/nginx.conf <<'END'
daemon off; worker_processes 1; error_log stderr; pid /tmp/nginx.pid;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000;
       server { listen 80 backlog=1024; listen [::]:80 backlog=1024; location / { return 200 'served'; } } }
END
    exec nginx -c /tmp/nginx.conf
";
const REDIS: &str = "exec redis-server --save '' --protected-mode no --bind '*' '-::*'";

/// One request and its answer, on a connection that goes on.
type Speak = fn(&mut TcpStream, u64) -> io::Result<()>;

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, REQUEST_LIMIT)?;
    stream.set_read_timeout(Some(REQUEST_LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads up to `end`.
fn answer(stream: &mut TcpStream, end: &[u8]) -> io::Result<String> {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.ends_with(end) {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::other(format!("closed after {} bytes", seen.len())));
        }
        seen.extend_from_slice(&buffer[..count]);
    }
    Ok(String::from_utf8_lossy(&seen).into_owned())
}

fn http(stream: &mut TcpStream, _number: u64) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let text = answer(stream, b"served")?;
    if text.starts_with("HTTP/1.1 200 OK\r\n") { Ok(()) } else { Err(io::Error::other(text)) }
}

fn redis(stream: &mut TcpStream, number: u64) -> io::Result<()> {
    stream.write_all(format!("ECHO word-{number}\r\n").as_bytes())?;
    let text = answer(stream, b"\r\n")?;
    // The answer has two lines, which may come apart.
    let text = if text.ends_with(&format!("word-{number}\r\n")) {
        text
    } else {
        text + &answer(stream, b"\r\n")?
    };
    if text.ends_with(&format!("\r\nword-{number}\r\n")) {
        Ok(())
    } else {
        Err(io::Error::other(format!("{number}: {text}")))
    }
}

/// Requests without end, all on one connection or each on one of its own.
fn requests(
    to: SocketAddr,
    speak: Speak,
    keeps: bool,
    ends: &AtomicBool,
    done: &AtomicU64,
) -> io::Result<u64> {
    let mut stream = connect(to)?;
    let mut number = 0;
    while !ends.load(Ordering::Relaxed) {
        if !keeps {
            stream = connect(to)?;
        }
        speak(&mut stream, number)?;
        number += 1;
        done.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(PAUSE);
    }
    Ok(number)
}

fn serve(lan: &Lan) {
    let client = lan.daemon.client();
    import_debian(&client);
    let _ = client.docker(&["network", "create", "--ipv6", "six"]).ok();
    for (name, network, port, script) in [
        ("nginx", "bridge", "8080:80", NGINX),
        ("redis", "bridge", "6379:6379", REDIS),
        ("nginx6", "six", "8086:80", NGINX),
        ("redis6", "six", "6386:6379", REDIS),
    ] {
        let args = ["run", "-d", "--name", name, "--network", network, "-p", port];
        let _ = client.docker(&[&args[..], &["debian", "sh", "-c", script]].concat()).ok();
    }
}

#[test]
fn no_request_is_lost_while_the_daemon_is_killed() {
    let mut lan = Lan::new(&[]);
    serve(&lan);
    let (host, neighbour) = (lan.host(), lan.neighbour.pid());
    let mut ways: Vec<(u32, SocketAddr, Speak)> = Vec::new();
    for (caller, address) in [(host, "127.0.0.1"), (host, HOST4), (neighbour, HOST4)] {
        let to = |port| SocketAddr::new(address.parse().unwrap(), port);
        ways.extend([(caller, to(8080), http as Speak), (caller, to(6379), redis)]);
    }
    for caller in [host, neighbour] {
        let to = |port| SocketAddr::new(HOST6.parse().unwrap(), port);
        ways.extend([(caller, to(8086), http as Speak), (caller, to(6386), redis)]);
    }
    for &(caller, to, speak) in &ways {
        lan.daemon.client().eventually(&format!("{to} answers"), Duration::from_secs(30), |_| {
            within(caller, || connect(to).and_then(|mut stream| speak(&mut stream, 0))).is_ok()
        });
    }
    let ends = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let (ends, done) = (&ends, &done);
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for &(caller, to, speak) in &ways {
            for keeps in [true, false] {
                let work = move || within(caller, || requests(to, speak, keeps, ends, done));
                clients.push((caller == host, to, keeps, scope.spawn(work)));
            }
        }
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            restart_often(&mut lan, done);
        }));
        ends.store(true, Ordering::Relaxed);
        for (local, to, keeps, client) in clients {
            let ran = client.join().unwrap();
            let way = format!("{to}, from this host: {local}, one connection: {keeps}");
            let count = ran.unwrap_or_else(|error| panic!("{way}: {error}"));
            assert!(count > 50, "{way}: only {count} requests");
        }
        restarted.unwrap();
    });
}

/// Kills and starts the daemon; requests are answered all the while.
fn restart_often(lan: &mut Lan, done: &AtomicU64) {
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_millis(300));
        if round == 2 {
            lan.daemon.stop().unwrap()
        } else {
            lan.daemon.kill().unwrap()
        }
        let before = done.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        let meanwhile = done.load(Ordering::Relaxed) - before;
        assert!(meanwhile > 100, "round {round}: {meanwhile} requests without a daemon");
        lan.daemon.launch().unwrap();
    }
    assert_eq!(lan.daemon.client().docker(&["ps", "-q"]).ok().lines().count(), 4);
}
