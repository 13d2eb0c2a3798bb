//! An S3 server in this process, with a thread of its own, on a free port of the loopback address.
//!
//! It is s3s with a directory behind it, and keeps the rules of S3 on conditional puts. A [script](S3Server::script) sees
//! each request before it is served and may spoil it.

mod asked;
mod backend;
mod fault;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tempfile::TempDir;
use tokio::sync::oneshot;

pub use asked::{Asked, Sent};
pub use fault::Fault;

/// The access key that the server knows.
pub const ACCESS_KEY: &str = "ebbtide-test";
/// Another one, which takes its place some day.
pub const NEXT_ACCESS_KEY: &str = "ebbtide-test-next";
/// The secret of both.
pub const SECRET_KEY: &str = "ebbtide-test-secret";
/// The bucket that is there from the start.
pub const BUCKET: &str = "backups";

/// What becomes of each request.
type Script = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

/// A server that runs until it is dropped. Its objects go with it.
pub struct S3Server {
    address: SocketAddr,
    directory: TempDir,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the test and the server both see.
#[derive(Default)]
struct Shared {
    script: Mutex<Option<Script>>,
    asked: Mutex<Vec<Asked>>,
    /// Whether bodies are kept, too.
    records: AtomicBool,
    sent: Mutex<Vec<Sent>>,
    connections: AtomicUsize,
}

impl S3Server {
    /// Starts a server with one empty bucket.
    #[must_use]
    pub fn start() -> S3Server {
        let directory = tempfile::tempdir().expect("a temporary directory for the server");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("a free port of the loopback address");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let service = serve::service(directory.path());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve::run(listener, service, shared, stopped)
        });
        let server =
            S3Server { address, directory, shared, stop: Some(stop), thread: Some(thread) };
        server.create_bucket(BUCKET);
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.address
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a replica on it.
    #[must_use]
    pub fn address(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint={}", self.endpoint())
    }

    /// The variables that a process needs to use it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        std::fs::create_dir(self.directory.path().join(name)).expect("a new bucket's directory");
    }

    /// The file of an object, to look at, to damage or to plant behind the protocol's back.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(BUCKET).join(name)
    }

    /// How many uploads in parts are neither finished nor aborted.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        let entries = std::fs::read_dir(self.directory.path()).expect("the server's directory");
        let names = entries.map(|entry| entry.expect("an entry of the directory").file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload-")).count()
    }

    /// From now on `script` says what is wrong with each request.
    pub fn script(&self, script: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        *lock(&self.shared.script) = Some(Box::new(script));
    }

    /// From now on nothing is wrong.
    pub fn heal(&self) {
        *lock(&self.shared.script) = None;
    }

    /// All requests so far, spoilt ones too.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// From now on, what is put is kept as it was sent: each attempt by itself, one that was broken off as far as it came.
    pub fn record(&self) {
        self.shared.records.store(true, Ordering::Relaxed);
    }

    /// What was kept.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.shared.sent).clone()
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many requests of an operation there were, such as "PutObject".
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        lock(&self.shared.asked).iter().filter(|asked| asked.operation() == operation).count()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the S3 server panicked");
        }
    }
}

impl Shared {
    /// Notes the request and asks the script about it.
    fn judge(&self, asked: Asked) -> Option<Fault> {
        let fault = lock(&self.script).as_mut().and_then(|script| script(&asked));
        lock(&self.asked).push(asked);
        fault
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
