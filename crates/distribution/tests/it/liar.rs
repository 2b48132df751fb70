//! A server that says what a test wants, to the byte.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The body ended before its length.
    pub cut: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// First and last byte that were asked for.
    pub(crate) fn range(&self, size: usize) -> Option<(usize, usize)> {
        let (start, end) = self.header("range").strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse().unwrap_or(size - 1)))
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Say {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection breaks behind so many bytes of the body.
    pub cut: Option<usize>,
    /// Then there is silence instead.
    pub hang: bool,
    /// The body is sent again and again, this many times.
    pub repeat: u64,
}

impl Say {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), repeat: 1, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The part of `data` that was asked for.
    pub(crate) fn part(seen: &Seen, data: &[u8]) -> Self {
        match seen.range(data.len()) {
            None => Self::new(200, data),
            Some((start, end)) => Self::new(206, &data[start..=end])
                .with("content-range", format!("bytes {start}-{end}/{}", data.len())),
        }
    }
}

type Answer = dyn Fn(&Seen) -> Say + Send + Sync;

/// A server; gone when it is dropped.
pub(crate) struct Liar {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Liar {
    /// One that greets as registries do.
    pub(crate) fn new(answer: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::start(true, usize::MAX, answer)
    }

    /// One whose greeting is the test's, too.
    pub(crate) fn rude(answer: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::start(false, usize::MAX, answer)
    }

    /// One that breaks the connection behind so many bytes of a `PATCH` body, for each of these.
    pub(crate) fn reading(
        patch_max: usize,
        answer: impl Fn(&Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        Self::start(true, patch_max, answer)
    }

    fn start(
        greets: bool,
        patch_max: usize,
        answer: impl Fn(&Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Answer> = Arc::new(answer);
        let rules = Rules { greets, patch_max };
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (sent, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let own = (Arc::clone(&seen), Arc::clone(&sent), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, sent, over) = own.clone();
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let answer = Arc::clone(&answer);
                // A client that goes away ends it.
                thread::spawn(move || drop(serve(stream, rules, &*answer, &seen, &sent, &over)));
            }
        });
        Self { address, seen, sent, over }
    }

    /// Host and port.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many bytes of bodies were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

#[derive(Clone, Copy)]
struct Rules {
    greets: bool,
    patch_max: usize,
}

/// No part of what tests look at.
fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn serve(
    stream: TcpStream,
    rules: Rules,
    answer: &Answer,
    all: &Mutex<Vec<Seen>>,
    sent: &AtomicU64,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // A client that tries TLS first is told at once that there is none.
    if reader.fill_buf()?.first() == Some(&0x16) {
        (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        return stream.shutdown(Shutdown::Both);
    }
    let Some(mut seen) = head(&mut reader)? else { return Ok(()) };
    if rules.greets && seen.target == "/v2/" {
        return greet(stream);
    }
    let max = if seen.method == "PATCH" { rules.patch_max } else { usize::MAX };
    read_body(&mut reader, &mut seen, max)?;
    let say = answer(&seen);
    let cut = seen.cut;
    all.lock().unwrap().push(seen.clone());
    if cut {
        return stream.shutdown(Shutdown::Both);
    }
    write(stream, &seen, &say, sent, over)
}

fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut seen = Seen { method: method.to_owned(), target: target.to_owned(), ..Seen::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { return Ok(Some(seen)) };
        seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_body(reader: &mut impl BufRead, seen: &mut Seen, max: usize) -> std::io::Result<()> {
    if seen.header("transfer-encoding") == "chunked" {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk)?;
            seen.body.extend(&chunk[..length]);
            if length == 0 {
                return Ok(());
            }
        }
    }
    let length: usize = seen.header("content-length").parse().unwrap_or(0);
    seen.cut = length > max;
    let mut body = vec![0; length.min(max)];
    reader.read_exact(&mut body)?;
    seen.body = body;
    Ok(())
}

fn write(
    mut stream: TcpStream,
    seen: &Seen,
    say: &Say,
    sent: &AtomicU64,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", say.status);
    let own = |name: &str| say.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !own("content-length") && !own("transfer-encoding") {
        head.push_str(&format!("Content-Length: {}\r\n", say.body.len()));
    }
    for (name, value) in &say.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if say.status != 0 {
        stream.write_all(format!("{head}\r\n").as_bytes())?;
    }
    let body = &say.body[..say.cut.unwrap_or(say.body.len()).min(say.body.len())];
    if seen.method != "HEAD" {
        for _ in 0..say.repeat.max(1) {
            // Before: a client that has it all may look at once.
            sent.fetch_add(body.len() as u64, Ordering::SeqCst);
            stream.write_all(body)?;
        }
    }
    while say.hang && !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    stream.shutdown(Shutdown::Both)
}
