//! A server that answers each request with whatever bytes a script says, if need be for ever, and counts how many of
//! them it got rid of. What a client takes in before it hangs up is what it may have kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is sent in answer to a request.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// This first…
    pub head: Vec<u8>,
    /// …then this, again and again until the client hangs up; nothing if it is empty.
    pub forever: Vec<u8>,
    /// How long to wait before each repetition.
    pub pause: Duration,
    /// Whether the connection stays for the next request; else it ends behind the head.
    pub keeps: bool,
}

impl Script {
    /// These bytes, and then the end of the connection.
    #[must_use]
    pub fn once(head: impl Into<Vec<u8>>) -> Script {
        Script { head: head.into(), ..Script::default() }
    }

    /// The first bytes, and then the others without an end.
    #[must_use]
    pub fn endless(head: impl Into<Vec<u8>>, forever: impl Into<Vec<u8>>) -> Script {
        Script { head: head.into(), forever: forever.into(), ..Script::default() }
    }

    /// A whole answer with this status and body, after which the connection stays.
    #[must_use]
    pub fn answer(status: &str, body: &str) -> Script {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into();
        Script { head, keeps: true, ..Script::default() }
    }
}

/// Gets the head of each request and its number.
type Answers = Box<dyn FnMut(&str, usize) -> Script + Send>;

/// A server that runs until it is dropped.
pub struct RawServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    answers: Mutex<Answers>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    requests: usize,
    /// How many bytes were sent on each connection.
    sent: Vec<u64>,
    sockets: Vec<TcpStream>,
    is_over: bool,
}

impl RawServer {
    /// Starts a server that answers like this.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start(answers: impl FnMut(&str, usize) -> Script + Send + 'static) -> RawServer {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let address = listener.local_addr().expect("the address of a bound socket");
        let answers: Answers = Box::new(answers);
        let shared = Arc::new(Shared { answers: Mutex::new(answers), known: Mutex::default() });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        RawServer { address, shared, thread: Some(thread) }
    }

    /// The same answer for everything.
    #[must_use]
    pub fn always(script: Script) -> RawServer {
        RawServer::start(move |_, _| script.clone())
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.shared.known).requests
    }

    /// How many bytes the connection took that took most.
    #[must_use]
    pub fn sent_max(&self) -> u64 {
        lock(&self.shared.known).sent.iter().copied().max().unwrap_or(0)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        {
            let mut known = lock(&self.shared.known);
            known.is_over = true;
            for socket in &known.sockets {
                // One that the client has closed is closed.
                drop(socket.shutdown(Shutdown::Both));
            }
        }
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the raw server panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for socket in listener.incoming() {
        let Ok(socket) = socket else { continue };
        let number = {
            let mut known = lock(&shared.known);
            if known.is_over {
                break;
            }
            known.sockets.push(socket.try_clone().expect("a second handle of a socket"));
            known.sent.push(0);
            known.sent.len() - 1
        };
        let shared = Arc::clone(shared);
        // It ends with an error when the client hangs up.
        threads.push(std::thread::spawn(move || drop(serve(socket, number, &shared))));
    }
    for thread in threads {
        thread.join().expect("a connection's thread");
    }
}

fn serve(mut socket: TcpStream, number: usize, shared: &Shared) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    loop {
        let head = read_request(&mut socket)?;
        let request = {
            let mut known = lock(&shared.known);
            known.requests += 1;
            known.requests
        };
        let script = (lock(&shared.answers))(&head, request);
        let mut send = |bytes: &[u8]| {
            for piece in bytes.chunks(16 * 1024) {
                socket.write_all(piece)?;
                lock(&shared.known).sent[number] += piece.len() as u64;
            }
            Ok::<_, std::io::Error>(())
        };
        send(&script.head)?;
        while !script.forever.is_empty() {
            std::thread::sleep(script.pause);
            send(&script.forever)?;
        }
        if !script.keeps {
            return socket.shutdown(Shutdown::Both);
        }
    }
}

/// The head of the next request, and no byte more.
pub(crate) fn read_head(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?)
}

/// The head of the next request. Its body is read away.
fn read_request(socket: &mut TcpStream) -> std::io::Result<String> {
    let head = read_head(socket)?;
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    std::io::copy(&mut socket.take(length), &mut std::io::sink())?;
    Ok(head)
}
