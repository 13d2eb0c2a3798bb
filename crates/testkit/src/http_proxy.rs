//! An HTTP proxy as companies have them: it tunnels what is asked for with CONNECT, forwards what is not, and remembers
//! for whom it was asked. Wherever that is, it goes to one server, so that names need not exist.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::raw_server::read_head;

/// A proxy that runs until it is dropped.
pub struct HttpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl HttpProxy {
    /// Starts a proxy that leads to `server`, whatever it is asked for.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start(server: SocketAddr) -> HttpProxy {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, server, &shared)
        });
        HttpProxy { address, shared, thread: Some(thread) }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests, the first of each connection, so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // It ends with an error when somebody hangs up. Nobody waits for it: its clients may outlive the proxy.
        std::thread::spawn(move || drop(serve(client, server, &shared)));
    }
}

fn serve(mut client: TcpStream, server: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let head = read_head(&mut client)?;
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let mut server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        server.write_all(head.as_bytes())?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || {
        let ended = std::io::copy(&mut from_client, &mut to_server);
        // One that is closed already is closed.
        drop(to_server.shutdown(Shutdown::Write));
        ended
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)?;
    up.join().map_or(Ok(()), |ended| ended.map(|_| ()))
}
