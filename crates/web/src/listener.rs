//! A listening socket, of whichever kind.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// Both directions of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The socket itself.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    /// With its name in the file system.
    Unix(UnixListener, PathBuf),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    /// Whether the name in the file system was given up: another process may have it by now.
    is_nameless: AtomicBool,
}

impl Listener {
    pub(crate) fn new(socket: Socket) -> Listener {
        Listener { socket, is_nameless: AtomicBool::new(false) }
    }

    /// The next connection. May be dropped and called again.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Socket::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }

    /// Where it listens, for people: with the port that the system has chosen.
    pub(crate) fn describe(&self) -> String {
        match &self.socket {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(error) => error.to_string(),
            },
            Socket::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Takes the name out of the file system, so that nobody comes any more.
    pub(crate) fn give_up_name(&self) {
        let Socket::Unix(_, path) = &self.socket else { return };
        if self.is_nameless.swap(true, Relaxed) {
            return;
        }
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(%error, socket = %path.display(), "cannot remove the socket");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.give_up_name();
    }
}
