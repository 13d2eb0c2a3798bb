//! Stands between a tool and the store: notes every request with its time, and makes the store slow if asked to.
//!
//! HTTP/1.1 as S3 clients speak it: one request after the other on a connection, bodies with a length or in chunks.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::writer::micros;

/// One request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When its head had arrived, in µs since the epoch.
    pub(crate) begun: u64,
    /// When the answer's head was handed on.
    pub(crate) answered: u64,
    /// GET, PUT…
    pub(crate) method: String,
    /// With the query.
    pub(crate) target: String,
    /// Of the answer.
    pub(crate) status: u16,
    /// How many bytes the body of the request had.
    pub(crate) sent: u64,
}

impl Request {
    /// Whether it made an object, or a part of one.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.method.as_str(), "PUT" | "POST") && (200..300).contains(&self.status)
    }
}

/// The proxy. It runs as long as this process.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    latency_micros: AtomicU64,
    log: Mutex<Vec<Request>>,
}

/// Is a proxy until somebody ends it, and tells where.
pub(crate) fn serve(server: SocketAddr, millis: u64) -> Result<()> {
    let proxy = Proxy::start(server)?;
    proxy.set_latency(Duration::from_millis(millis));
    println!("{}", proxy.address);
    loop {
        thread::park();
    }
}

impl Proxy {
    /// Begins to listen in front of `server`.
    pub(crate) fn start(server: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (latency_micros, log) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { server, latency_micros, log });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that breaks is the client's business: it sees it, too.
                thread::spawn(move || shared.serve(client).ok());
            }
        });
        Ok(Proxy { address, shared })
    }

    /// Every request from now on waits so long before it is handed on.
    pub(crate) fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency_micros.store(micros, Ordering::Relaxed);
    }

    /// All requests so far whose target begins so, after the bucket's name.
    pub(crate) fn requests(&self, prefix: &str) -> Vec<Request> {
        let log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = format!("/{}/{prefix}", crate::minio::BUCKET);
        let of = |request: &&Request| {
            let asks = request.target.starts_with(&begin);
            // A listing names the prefix in its query.
            asks || request.target.contains(&prefix.replace('/', "%2F"))
        };
        log.iter().filter(of).cloned().collect()
    }

    /// How many requests there were in all.
    pub(crate) fn count(&self) -> usize {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let server = TcpStream::connect(self.server)?;
        server.set_nodelay(true)?;
        let (mut client, mut server) = (Stream::new(client), Stream::new(server));
        let result = loop {
            match self.exchange(&mut client, &mut server) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        server.socket.shutdown(Shutdown::Both).ok();
        client.socket.shutdown(Shutdown::Both).ok();
        result
    }

    /// One request and its answer; false when there are no more.
    fn exchange(&self, client: &mut Stream, server: &mut Stream) -> io::Result<bool> {
        let Some(head) = client.head()? else { return Ok(false) };
        let begun = micros();
        let latency = Duration::from_micros(self.latency_micros.load(Ordering::Relaxed));
        if !latency.is_zero() {
            thread::sleep(latency);
        }
        server.socket.write_all(&head.bytes)?;
        let (mut answer, mut sent) = (None, 0);
        if head.expects_continue {
            let first = server.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            client.socket.write_all(&first.bytes)?;
            if first.status != 100 {
                answer = Some(first);
            }
        }
        if answer.is_none() {
            sent = client.copy(head.body, server)?;
        }
        let (answer, is_new) = match answer {
            Some(answer) => (answer, false),
            None => (server.head()?.ok_or(io::ErrorKind::UnexpectedEof)?, true),
        };
        let mut request = Request {
            begun,
            answered: 0,
            method: head.method,
            target: head.target,
            status: answer.status,
            sent,
        };
        request.answered = micros();
        let is_head = request.method == "HEAD";
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        if is_new {
            client.socket.write_all(&answer.bytes)?;
        }
        if !is_head && !matches!(answer.status, 204 | 304) {
            server.copy(answer.body, client)?;
        }
        Ok(!head.closes && !answer.closes)
    }
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
enum Body {
    Length(u64),
    Chunked,
}

/// The head of a request or of an answer.
#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    method: String,
    target: String,
    status: u16,
    body: Body,
    expects_continue: bool,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Head> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut head = Head {
            bytes: bytes.to_vec(),
            method: method.to_owned(),
            target: target.to_owned(),
            status: target.parse().unwrap_or(0),
            body: Body::Length(0),
            expects_continue: false,
            closes: false,
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
                    head.body = Body::Length(length);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => {
                    head.body = Body::Chunked;
                }
                "expect" => head.expects_continue = value.eq_ignore_ascii_case("100-continue"),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Ok(head)
    }
}

/// A socket and what was read from it too early.
struct Stream {
    socket: TcpStream,
    early: Vec<u8>,
    buffer: Vec<u8>,
}

impl Stream {
    fn new(socket: TcpStream) -> Stream {
        Stream { socket, early: Vec::new(), buffer: vec![0; 256 * 1024] }
    }

    /// The next head; nothing when the other side has closed.
    fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.early.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.early.split_off(end + 4);
                let head = std::mem::replace(&mut self.early, rest);
                return Head::parse(&head).map(Some);
            }
            if !self.read_more()? {
                return if self.early.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let count = self.socket.read(&mut self.buffer)?;
        self.early.extend_from_slice(&self.buffer[..count]);
        Ok(count > 0)
    }

    /// Hands a body on; how many bytes it has.
    fn copy(&mut self, body: Body, to: &mut Stream) -> io::Result<u64> {
        let mut sent = 0;
        match body {
            Body::Length(length) => self.copy_bytes(length, to).map(|()| length),
            Body::Chunked => loop {
                let line = self.line()?;
                to.socket.write_all(&line)?;
                let text = String::from_utf8_lossy(&line);
                let digits = text.trim_end().split(';').next().unwrap_or_default();
                let length =
                    u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                if length > 0 {
                    self.copy_bytes(length + 2, to)?;
                    sent += length;
                    continue;
                }
                // Trailers, up to an empty line.
                loop {
                    let line = self.line()?;
                    to.socket.write_all(&line)?;
                    if line == b"\r\n" {
                        return Ok(sent);
                    }
                }
            },
        }
    }

    fn copy_bytes(&mut self, mut length: u64, to: &mut Stream) -> io::Result<()> {
        let early = usize::try_from(length).unwrap_or(usize::MAX).min(self.early.len());
        to.socket.write_all(&self.early[..early])?;
        self.early.drain(..early);
        length -= early as u64;
        while length > 0 {
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = self.socket.read(&mut self.buffer[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.socket.write_all(&self.buffer[..count])?;
            length -= count as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.early.windows(2).position(|two| two == b"\r\n") {
                let rest = self.early.split_off(end + 2);
                return Ok(std::mem::replace(&mut self.early, rest));
            }
            if !self.read_more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
