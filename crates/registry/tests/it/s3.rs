//! A small S3 server in this process, and what can go wrong with one.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use gantry_oci::Digest;

pub(crate) const BUCKET: &str = "images";
/// Objects in one answer to a question for all: few, so that there are several.
const PAGE: usize = 3;
/// Least length of a part that is not the last.
const PART_MIN: usize = 5 << 20;
const TIME: &str = "2026-01-02T03:04:05.000Z";

/// The server; it ends with its test.
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    state: Arc<State>,
}

#[derive(Default)]
pub(crate) struct State {
    objects: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
    parts: Mutex<HashMap<String, BTreeMap<usize, Vec<u8>>>>,
    begun: AtomicUsize,
    ended: AtomicBool,
    /// Nothing is answered but 503.
    pub(crate) down: AtomicBool,
    /// So many requests are answered 503.
    pub(crate) refusals: AtomicUsize,
    /// So many answers with an object end in its middle.
    pub(crate) cuts: AtomicUsize,
}

struct Request {
    method: String,
    key: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        Self { endpoint, state }
    }

    /// What can go wrong.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Keys of all objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        held(&self.state.objects).keys().cloned().collect()
    }

    /// Uploads in parts that neither ended nor were given up.
    pub(crate) fn open_uploads(&self) -> usize {
        held(&self.state.parts).len()
    }

    /// What a registry's configuration says of the bucket.
    pub(crate) fn config(&self) -> String {
        config(&self.endpoint, "reg")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
    }
}

pub(crate) fn config(endpoint: &str, prefix: &str) -> String {
    format!(
        "[s3]\nendpoint = \"{endpoint}\"\nbucket = \"{BUCKET}\"\nprefix = \"{prefix}\"\naccess-key = \"id\"\nsecret-key = \"hidden\"\n"
    )
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts down; whether it was above zero.
fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn serve(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let answer = answer(&request, state);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if answer.status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
        }
        let mut out = stream;
        out.write_all(format!("{head}\r\n").as_bytes())?;
        let object = request.method == "GET" && !request.key.is_empty();
        if object && answer.body.len() > 1 && take(&state.cuts) {
            out.write_all(&answer.body[..answer.body.len() / 2])?;
            return stream.shutdown(std::net::Shutdown::Both);
        }
        if request.method != "HEAD" {
            out.write_all(&answer.body)?;
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let key = path.trim_start_matches('/').strip_prefix(BUCKET).unwrap_or("?");
    let (key, mut headers) = (key.trim_start_matches('/').to_owned(), HashMap::new());
    let query = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%2F", "/").replace("%3A", ":");
        (name.to_owned(), value)
    });
    let query = query.collect();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, key, query, headers, body }))
}

fn answer(request: &Request, state: &State) -> Answer {
    if state.down.load(Ordering::Relaxed) || take(&state.refusals) {
        return error(503, "SlowDown");
    }
    let signed = match request.headers.get("authorization") {
        Some(text) => text.starts_with("AWS4-HMAC-SHA256 Credential=id/"),
        None => request.query.contains_key("X-Amz-Signature"),
    };
    let told = request.headers.get("x-amz-content-sha256");
    let same = told.is_none_or(|hex| *hex == *Digest::of(&request.body).hex());
    if !signed || !same {
        return error(403, "SignatureDoesNotMatch");
    }
    let has = |name: &str| request.query.contains_key(name);
    match request.method.as_str() {
        "GET" if has("list-type") => list(request, state),
        "GET" | "HEAD" => object(request, state),
        "PUT" if has("uploadId") => part(request, state),
        "PUT" => {
            let kind = request.headers.get("content-type").cloned().unwrap_or_default();
            held(&state.objects).insert(request.key.clone(), (request.body.clone(), kind));
            plain(200, Vec::new())
        }
        "POST" if has("uploads") => begin(request, state),
        "POST" if has("uploadId") => complete(request, state),
        "DELETE" if has("uploadId") => {
            held(&state.parts).remove(&request.query["uploadId"]);
            plain(204, Vec::new())
        }
        "DELETE" => {
            held(&state.objects).remove(&request.key);
            plain(204, Vec::new())
        }
        _ => error(501, "NotImplemented"),
    }
}

fn plain(status: u16, body: Vec<u8>) -> Answer {
    let modified = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    let headers = vec![("ETag", "\"1\"".to_owned()), ("Last-Modified", modified)];
    Answer { status, headers, body }
}

fn error(status: u16, code: &str) -> Answer {
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    plain(status, text.into_bytes())
}

fn object(request: &Request, state: &State) -> Answer {
    let objects = held(&state.objects);
    let Some((bytes, kind)) = objects.get(&request.key) else { return error(404, "NoSuchKey") };
    let range = request.headers.get("range").and_then(|text| text.strip_prefix("bytes="));
    let mut answer = match range.and_then(|text| text.split_once('-')) {
        None => plain(200, bytes.clone()),
        Some((from, to)) => {
            let (from, to): (usize, usize) =
                (from.parse().expect("a number"), to.parse().expect("a number"));
            let to = to.min(bytes.len() - 1);
            let mut answer = plain(206, bytes[from..=to].to_vec());
            let text = format!("bytes {from}-{to}/{}", bytes.len());
            answer.headers.push(("Content-Range", text));
            answer
        }
    };
    answer.headers.push(("Content-Type", kind.clone()));
    answer
}

fn list(request: &Request, state: &State) -> Answer {
    let text = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (text("prefix"), text("continuation-token"));
    let objects = held(&state.objects);
    let behind: Vec<_> =
        objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).collect();
    let mut xml = String::from("<ListBucketResult>");
    for (key, (bytes, _)) in behind.iter().take(PAGE) {
        xml.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>{TIME}</LastModified><ETag>\"1\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        ));
    }
    let more = behind.len() > PAGE;
    if more {
        let (last, _) = behind[PAGE - 1];
        xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    xml.push_str(&format!("<IsTruncated>{more}</IsTruncated></ListBucketResult>"));
    plain(200, xml.into_bytes())
}

fn begin(request: &Request, state: &State) -> Answer {
    let id = format!("upload{}", state.begun.fetch_add(1, Ordering::Relaxed));
    held(&state.parts).insert(id.clone(), BTreeMap::new());
    let key = &request.key;
    let xml = format!(
        "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    );
    plain(200, xml.into_bytes())
}

fn part(request: &Request, state: &State) -> Answer {
    let mut parts = held(&state.parts);
    let number = request.query["partNumber"].parse().expect("a number");
    match parts.get_mut(&request.query["uploadId"]) {
        Some(upload) => {
            upload.insert(number, request.body.clone());
            plain(200, Vec::new())
        }
        None => error(404, "NoSuchUpload"),
    }
}

fn complete(request: &Request, state: &State) -> Answer {
    let mut uploads = held(&state.parts);
    let Some(parts) = uploads.get(&request.query["uploadId"]) else {
        return error(404, "NoSuchUpload");
    };
    let named = String::from_utf8_lossy(&request.body).matches("<PartNumber>").count();
    if named != parts.len() || parts.values().rev().skip(1).any(|part| part.len() < PART_MIN) {
        return error(400, "EntityTooSmall");
    }
    let whole = parts.values().flatten().copied().collect();
    held(&state.objects).insert(request.key.clone(), (whole, String::new()));
    uploads.remove(&request.query["uploadId"]);
    let key = &request.key;
    let xml = format!(
        "<CompleteMultipartUploadResult><Location>x</Location><Bucket>{BUCKET}</Bucket><Key>{key}</Key><ETag>\"1\"</ETag></CompleteMultipartUploadResult>"
    );
    plain(200, xml.into_bytes())
}
