//! The `ebbtide` binary as the tests use it, and restores to compare.

use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output as Ended};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::{Entry, EntryKind, Timestamp, Txid};
use ebbtide_restore::Options;
use ebbtide_store::{Credentials, Location, S3Store, Store};
use ebbtide_testkit::faulty::Faulty;
use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// More than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const EBBTIDE: &str = env!("CARGO_BIN_EXE_ebbtide");

/// `ebbtide` with these arguments, not yet started.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(EBBTIDE);
    command.args(args);
    by_itself(command)
}

/// The same within a limit of the shell's `ulimit`. What a file may not grow beyond is an error and no signal.
pub(crate) fn limited(limit: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$@\""), "sh", EBBTIDE]);
    shell.args(args);
    by_itself(shell)
}

/// Without what a developer has set, and with sockets outside the folders of this machine's own processes.
fn by_itself(mut command: Command) -> Command {
    by_itself_in(&mut command);
    command
}

/// The same for a command that runs `ebbtide` in its turn.
pub(crate) fn by_itself_in(command: &mut Command) {
    command.env_remove("EBBTIDE_LOG").env("EBBTIDE_RUNTIME_DIR", runtime_folder());
    // Where there is no memory left for a backtrace, the standard library waits for its own lock, for ever.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
}

/// A private folder for the sockets of all tests that have no folder of their own for them.
fn runtime_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime");
    DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
    folder
}

/// Runs `ebbtide` to its end.
pub(crate) fn ebbtide(args: &[&str]) -> Ended {
    command(args).output().unwrap()
}

/// What `ebbtide status --json` says of the databases of this configuration. Processes of other tests may be in its way,
/// which it says by its exit code.
pub(crate) fn status(config: &Path) -> serde_json::Value {
    let ended = ebbtide(&["status", "--json", "--config", config.to_str().unwrap()]);
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// A running `ebbtide replicate`.
pub(crate) struct Sidecar(Process);

impl Sidecar {
    /// Starts it and waits until it follows the database.
    pub(crate) fn start(database: &Path, replica: &str) -> Sidecar {
        let sidecar = Sidecar::spawn(database, replica);
        sidecar.wait_until_it_follows();
        sidecar
    }

    /// Waits until it follows the database.
    pub(crate) fn wait_until_it_follows(&self) {
        self.0.line_with("\"following\"", PATIENCE);
    }

    /// Starts it.
    pub(crate) fn spawn(database: &Path, replica: &str) -> Sidecar {
        Sidecar::spawn_in(database, replica, &[])
    }

    /// Starts it with these variables, and waits until it follows the database.
    pub(crate) fn start_in(database: &Path, replica: &str, variables: &[(&str, &str)]) -> Sidecar {
        let sidecar = Sidecar::spawn_in(database, replica, variables);
        sidecar.wait_until_it_follows();
        sidecar
    }

    pub(crate) fn spawn_in(database: &Path, replica: &str, variables: &[(&str, &str)]) -> Sidecar {
        let args = ["replicate", "--log-format", "json", database.to_str().unwrap(), replica];
        let mut command = command(&args);
        command.envs(variables.iter().copied());
        Sidecar::spawn_command(&mut command)
    }

    /// Starts a command.
    pub(crate) fn spawn_command(command: &mut Command) -> Sidecar {
        Sidecar(Process::start(command, Output::Stderr).unwrap())
    }

    /// Starts a command that follows, and waits until it does.
    pub(crate) fn start_command(command: &mut Command) -> Sidecar {
        let sidecar = Sidecar::spawn_command(command);
        sidecar.wait_until_it_follows();
        sidecar
    }

    /// Waits until it has ended by itself; its exit code and what it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.0.wait(PATIENCE).unwrap();
        (status.code().unwrap(), self.0.reap().unwrap().join("\n"))
    }

    /// Asks it to end, and waits; its exit code.
    pub(crate) fn stop(self) -> i32 {
        let (code, said) = self.stop_and_tell();
        eprintln!("{said}");
        code
    }

    /// The same, and what it said.
    pub(crate) fn stop_and_tell(self) -> (i32, String) {
        self.0.signal(Signal::SIGTERM).unwrap();
        self.end()
    }

    pub(crate) fn kill(self) {
        self.0.kill().unwrap();
    }

    /// Waits for its end after a signal that kills.
    pub(crate) fn reap(&mut self) {
        self.0.reap().unwrap();
    }

    pub(crate) fn process(&self) -> &Process {
        &self.0
    }
}

/// A process whose outputs go where the test says. It is killed when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(command.spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The same; its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.ended().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// What comes out of a pipe, read as it comes.
pub(crate) struct Lines(Arc<Mutex<String>>, JoinHandle<()>);

impl Lines {
    pub(crate) fn of(reader: PipeReader) -> Lines {
        let said = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&said);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let line = line.unwrap() + "\n";
                all.lock().unwrap().push_str(&line);
            }
        });
        Lines(said, thread)
    }

    /// Waits until this was said.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.0.lock().unwrap().contains(text));
    }

    /// Everything, once nobody can say any more.
    pub(crate) fn all(self) -> String {
        self.1.join().unwrap();
        let said = self.0.lock().unwrap();
        said.clone()
    }
}

/// A replica, read from within the test.
pub(crate) struct Replica {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
}

impl Replica {
    pub(crate) fn open(address: &str) -> Replica {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let location: Location = address.parse().unwrap();
        let store = runtime.block_on(location.open()).unwrap();
        Replica { runtime, store }
    }

    /// The same through a store that fails as a script says.
    pub(crate) fn through_faults(self) -> (Replica, Faulty) {
        let faulty = Faulty::new(self.store);
        (Replica { store: Arc::new(faulty.clone()), ..self }, faulty)
    }

    /// Its end is what the database is now, byte for byte.
    #[track_caller]
    pub(crate) fn assert_ends_with(&self, database: &Path, folder: &Path) {
        let expected = Image::of(&oracle::committed(database).unwrap());
        assert_eq!(self.restore(Target::Latest, folder).1, expected);
    }

    /// The last entry, if there is one yet.
    pub(crate) fn head(&self) -> Option<Txid> {
        let read = async {
            let manifest = ebbtide_catalog::read_manifest(&*self.store).await.unwrap()?;
            ebbtide_catalog::head(&*self.store, &manifest).await.unwrap()
        };
        self.runtime.block_on(read).map(|head| head.state.txid())
    }

    /// The one under `prefix` on a server in this process.
    pub(crate) fn on(server: &S3Server, prefix: &str) -> Replica {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY);
        Replica::in_bucket(&server.address(prefix), &credentials)
    }

    /// The one under `prefix` in MinIO.
    pub(crate) fn in_minio(minio: &MinIO, prefix: &str) -> Replica {
        Replica::in_bucket(&minio.address(prefix), &minio.credentials)
    }

    fn in_bucket(address: &str, credentials: &Credentials) -> Replica {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let Location::S3(location) = address.parse().unwrap() else { panic!("{address}") };
        let store = runtime.block_on(S3Store::open_as(&location, credentials)).unwrap();
        Replica { runtime, store: Arc::new(store) }
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let read = async {
            let Some(manifest) = ebbtide_catalog::read_manifest(&*self.store).await.unwrap() else {
                return Vec::new();
            };
            let mut entries = Vec::new();
            for object in ebbtide_catalog::list(&*self.store).await.unwrap().log {
                let fetched =
                    ebbtide_catalog::read_index(&*self.store, &manifest, object).await.unwrap();
                entries.extend_from_slice(fetched.index.entries());
            }
            entries
        };
        self.runtime.block_on(read)
    }

    /// Restores into a file of its own and looks at it; the txid that it is of.
    pub(crate) fn restore(&self, target: Target, folder: &Path) -> (Txid, Image) {
        let output = folder.join("restored.db");
        let txid = self.restore_into(target, &output);
        let image = Image::of_file(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        (txid, image)
    }

    /// Restores into `output`; the txid that it is of.
    pub(crate) fn restore_into(&self, target: Target, output: &Path) -> Txid {
        let (output, now) = (output.to_owned(), Timestamp::MAX);
        let options =
            Options { target, output, force: false, state: None, expect: None, now, check: None };
        let progress = Arc::new(Progress::default());
        let restored = ebbtide_restore::restore(Arc::clone(&self.store), &options, &progress);
        self.runtime.block_on(restored).unwrap().outline.point.state.txid()
    }

    /// Every state that the history has, with the entry that led to it.
    pub(crate) fn states(&self, folder: &Path) -> Vec<(Entry, Image)> {
        let has_state = |entry: &Entry| entry.kind != EntryKind::Claim;
        let entries = self.entries().into_iter().filter(has_state);
        entries
            .map(|entry| {
                let (txid, image) = self.restore(Target::Txid(entry.txid), folder);
                assert_eq!(txid, entry.txid);
                (entry, image)
            })
            .collect()
    }
}

/// Waits until `done`, looking often.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
