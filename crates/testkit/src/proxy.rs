//! A bad network: a TCP proxy on the loopback address that delays, throttles, cuts, loses and swallows.
//!
//! Each connection gets its [`Link`] when it is made, by its number. [`Proxy::link`] changes the network for all that
//! come, and resets those that are there, as when a route changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What a connection is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Everything goes through.
    Clear,
    /// Everything goes through, so much later, both ways.
    Latency(Duration),
    /// At most so many bytes a second go through, each way.
    Throttled(u64),
    /// It is reset after so many bytes from the client.
    CutUp(u64),
    /// It is reset after so many bytes from the server.
    CutDown(u64),
    /// It is reset as soon as the server answers: the request was served, and nobody knows.
    AnswerLost,
    /// Nothing goes through, and nothing is said.
    Blackhole,
}

/// So many bytes are passed on at once.
const PIECE: usize = 16 * 1024;

type Script = Box<dyn FnMut(u64) -> Link + Send>;

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    server: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    script: Mutex<Script>,
    connections: AtomicU64,
    /// What came from the client on each connection.
    sent: Mutex<Vec<Vec<u8>>>,
    /// Changes when all connections are to be reset.
    age: watch::Sender<u64>,
}

impl Proxy {
    /// Starts a proxy in front of `server`, through which everything goes.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start(server: SocketAddr) -> Proxy {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Link::Clear)),
            connections: AtomicU64::new(0),
            sent: Mutex::default(),
            age: watch::Sender::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(listener, server, shared, stopped)
        });
        Proxy { address, server, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every connection is like this; those that are there are reset.
    pub fn link(&self, link: Link) {
        self.script(move |_| link);
    }

    /// From now on `script` says what each connection is like, by its number from 0 on; those that are there are reset.
    pub fn script(&self, script: impl FnMut(u64) -> Link + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
        self.shared.connections.store(0, Ordering::Relaxed);
        self.shared.age.send_modify(|age| *age += 1);
    }

    /// How many connections were made since the network last changed.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Sends everything that clients ever sent to the server once more, as if it had been lost on its way and came
    /// late. The connections, which have to stay open until it is served; nobody reads what the server answers.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub fn send_again(&self) -> std::io::Result<Vec<std::net::TcpStream>> {
        use std::io::Write;
        let sent = lock(&self.shared.sent).clone();
        let again = sent.iter().filter(|bytes| !bytes.is_empty()).map(|bytes| {
            let mut server = std::net::TcpStream::connect(self.server)?;
            server.write_all(bytes)?;
            Ok(server)
        });
        again.collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(
    listener: std::net::TcpListener,
    server: SocketAddr,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the proxy");
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, server, shared) => {}
            // The sender is dropped, which is all that it says.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a socket that does not block");
    let listener = TcpListener::from_std(listener).expect("a socket for the runtime");
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let link = (lock(&shared.script))(number);
        let (shared, mut age) = (Arc::clone(&shared), shared.age.subscribe());
        tokio::spawn(async move {
            // A connection that ends in any way but its own is reset on both sides.
            tokio::select! {
                ended = pass(client, server, link, &shared) => drop(ended),
                _ = age.changed() => {}
            }
        });
    }
}

/// Passes on what goes through, until an end or a fault.
async fn pass(
    client: TcpStream,
    server: SocketAddr,
    link: Link,
    shared: &Shared,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    client.set_zero_linger()?;
    if link == Link::Blackhole {
        return std::future::pending().await;
    }
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let number = {
        let mut sent = lock(&shared.sent);
        sent.push(Vec::new());
        sent.len() - 1
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let keep = |bytes: &[u8]| lock(&shared.sent)[number].extend_from_slice(bytes);
    let (up, down) = match link {
        Link::CutUp(bytes) => (bytes, u64::MAX),
        Link::CutDown(bytes) => (u64::MAX, bytes),
        Link::AnswerLost => (u64::MAX, 0),
        _ => (u64::MAX, u64::MAX),
    };
    // Whoever ends first ends the connection.
    tokio::select! {
        ended = copy(from_client, to_server, link, up, keep) => ended,
        ended = copy(from_server, to_client, link, down, |_| {}) => ended,
    }
}

/// Passes on up to `most` bytes, one way.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: Link,
    most: u64,
    keep: impl Fn(&[u8]),
) -> std::io::Result<()> {
    let mut left = most;
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        let wait = match link {
            Link::Latency(wait) => wait,
            Link::Throttled(rate) => Duration::from_micros(read as u64 * 1_000_000 / rate.max(1)),
            _ => Duration::ZERO,
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let through = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        keep(&piece[..through]);
        to.write_all(&piece[..through]).await?;
        left -= through as u64;
        if left == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Answers with what it gets, until the other side ends.
    fn echo() -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut other = stream.try_clone().unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream, &mut other));
            }
        });
        address
    }

    fn ask(proxy: &Proxy, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut stream = std::net::TcpStream::connect(proxy.address).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = vec![0; bytes.len()];
        let mut at = 0;
        while at < answer.len() {
            match stream.read(&mut answer[at..]) {
                Ok(0) | Err(_) => {
                    answer.truncate(at);
                    return (answer, false);
                }
                Ok(read) => at += read,
            }
        }
        (answer, true)
    }

    #[test]
    fn a_link_cuts_where_it_is_told_to() {
        let proxy = Proxy::start(echo());
        assert_eq!(ask(&proxy, b"hello"), (b"hello".to_vec(), true));
        for most in 0..5 {
            proxy.link(Link::CutDown(most));
            let (answer, whole) = ask(&proxy, b"hello");
            assert!(!whole && answer.len() as u64 <= most, "{most}: {answer:?}");
            proxy.link(Link::CutUp(most));
            assert!(!ask(&proxy, b"hello").1, "{most}");
        }
        proxy.link(Link::AnswerLost);
        assert_eq!(ask(&proxy, b"hello"), (Vec::new(), false));
        proxy.script(|number| if number == 0 { Link::Blackhole } else { Link::Clear });
        let mut swallowed = std::net::TcpStream::connect(proxy.address).unwrap();
        swallowed.write_all(b"hello").unwrap();
        assert_eq!(ask(&proxy, b"again"), (b"again".to_vec(), true));
        proxy.link(Link::Clear);
        assert!(swallowed.read(&mut [0; 5]).is_err(), "it was reset");
    }
}
