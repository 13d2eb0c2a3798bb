//! A listening socket, of whichever kind.

use std::io;
use std::path::PathBuf;

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
pub(crate) struct Listener(Socket);

impl Listener {
    pub(crate) fn new(socket: Socket) -> Listener {
        Listener(socket)
    }

    /// The next connection. May be dropped and called again.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.0 {
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
        match &self.0 {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(error) => error.to_string(),
            },
            Socket::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, socket = %path.display(), "cannot remove the socket");
        }
    }
}
