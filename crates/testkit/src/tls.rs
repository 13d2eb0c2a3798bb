//! TLS in front of a server of the tests, with a certificate of an authority that nobody knows but they.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// The name that the certificate is for, besides 127.0.0.1. No name server knows it.
pub const NAME: &str = "store.test";

/// The server's certificate and its key, good from 2020 to 2120.
const SERVER: &[u8] = include_bytes!("tls/server.pem");

/// A listener that runs until it is dropped.
pub struct TlsFront {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// Takes TLS off what comes in, and hands it on to `server`.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start(server: SocketAddr) -> TlsFront {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let address = listener.local_addr().expect("the address of a bound socket");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || run(listener, server, stopped));
        TlsFront { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority, in a file.
    #[must_use]
    pub fn authority() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/authority.pem")
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the TLS front panicked");
        }
    }
}

fn run(listener: std::net::TcpListener, server: SocketAddr, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for TLS");
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, server) => {}
            // The sender is dropped, which is all that it says.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr) {
    listener.set_nonblocking(true).expect("a socket that does not block");
    let listener = TcpListener::from_std(listener).expect("a socket for the runtime");
    let acceptor = TlsAcceptor::from(Arc::new(config()));
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let acceptor = acceptor.clone();
        let pass = async move {
            let mut client = acceptor.accept(client).await?;
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await
        };
        // It ends with an error when a client does not believe the certificate, or hangs up.
        tokio::spawn(async move { drop(pass.await) });
    }
}

fn config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(SERVER).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(SERVER).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions that ring has")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key of the certificate")
}
