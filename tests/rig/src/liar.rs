//! A server that says what a test wants, to the byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{io, thread};

use crate::proxy::{PAUSE, listen};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, ….
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The lines of the header, as they came.
    pub header: String,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Say {
    /// The status.
    pub status: u16,
    /// Names and values of the header.
    pub headers: Vec<(&'static str, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Say {
    /// An answer without a header of its own.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With a line more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Answer = dyn Fn(&Asked) -> Say + Send + Sync;

/// A server; it ends when dropped.
#[derive(Debug)]
pub struct Liar {
    /// Host and port.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

impl Liar {
    /// Listens in the network namespace of process `netns_pid`.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn start(
        netns_pid: u32,
        answer: impl Fn(&Asked) -> Say + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (found, place) = mpsc::channel();
        let (asked, ended) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let answer: Arc<Answer> = Arc::new(answer);
        let (heard, over) = (Arc::clone(&asked), Arc::clone(&ended));
        thread::spawn(move || match listen(netns_pid) {
            Ok(listener) => {
                let _ = found.send(listener.local_addr());
                accept(&listener, &answer, &heard, &over);
            }
            Err(error) => {
                let _ = found.send(Err(error));
            }
        });
        let address = place.recv().map_err(io::Error::other)??.to_string();
        Ok(Self { address, asked, ended })
    }

    /// What was asked until now.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn accept(
    listener: &TcpListener,
    answer: &Arc<Answer>,
    asked: &Arc<Mutex<Vec<Asked>>>,
    ended: &AtomicBool,
) {
    while !ended.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        let (answer, asked) = (Arc::clone(answer), Arc::clone(asked));
        thread::spawn(move || {
            // A client that leaves is none of the test's concern.
            let _ = serve(&stream, &*answer, &asked);
        });
    }
}

/// Answers one request; the connection ends with it.
fn serve(mut stream: &TcpStream, answer: &Answer, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut reader = BufReader::new(stream);
    let (mut first, mut header) = (String::new(), String::new());
    reader.read_line(&mut first)?;
    while !header.ends_with("\r\n\r\n") && header != "\r\n" {
        if reader.read_line(&mut header)? == 0 {
            break;
        }
    }
    let length = header.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok())?
    });
    io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut io::sink())?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let request = Asked { method: word(), target: word(), header };
    let say = answer(&request);
    let silent = request.method == "HEAD";
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", say.status);
    head.push_str(&format!("Content-Length: {}\r\n", say.body.len()));
    for (name, value) in &say.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if silent { Ok(()) } else { stream.write_all(&say.body) }
}
