//! `ebbtide status` and `ebbtide sync` against running processes. Would catch a lag that is not shown, a sync that returns
//! before the store has confirmed, a health that lies, and a socket that lets anybody in.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, wait_until};

/// A database, its replica, and a folder for the sockets, all of which vanish.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("run")).unwrap();
        fs::set_permissions(place.path("run"), Permissions::from_mode(0o700)).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn database(&self, name: &str) -> Connection {
        let database = Connection::open(self.path(name)).unwrap();
        database
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (a)")
            .unwrap();
        database
    }

    pub(crate) fn follow(&self, name: &str, replica: &str) -> Sidecar {
        let args = ["replicate", "--log-format", "json", &self.text(name), &self.text(replica)];
        Sidecar::start_command(command(&args).env("EBBTIDE_RUNTIME_DIR", self.path("run")))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        command(args).env("EBBTIDE_RUNTIME_DIR", self.path("run")).output().unwrap()
    }

    /// What `status --json` prints, and its exit code.
    pub(crate) fn status(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let ended = self.run(&[&["status", "--json"], args].concat());
        let lines = String::from_utf8(ended.stdout.clone()).unwrap();
        let reports = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (code(&ended), reports)
    }

    fn sockets(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("run")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) fn code(ended: &Output) -> i32 {
    ended.status.code().unwrap()
}

pub(crate) fn said(ended: &Output) -> String {
    String::from_utf8(ended.stderr.clone()).unwrap()
}

pub(crate) fn insert(database: &Connection) {
    database.execute("INSERT INTO t VALUES (randomblob(100))", []).unwrap();
}

#[test]
fn a_sync_that_was_waited_for_is_durable_and_the_status_says_so() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    for _ in 0..20 {
        insert(&application);
        let ended = place.run(&["sync", "--wait", &place.text("app.db")]);
        assert_eq!(code(&ended), 0, "{}", said(&ended));
        let last = Replica::open(&place.text("backup")).entries().pop().unwrap();
        let told = String::from_utf8(ended.stdout).unwrap();
        assert!(told.contains(&format!("durable up to txid {}", last.txid)), "{told}");
    }
    let last = Replica::open(&place.text("backup")).entries().pop().unwrap();
    let (code, reports) = place.status(&[]);
    assert_eq!(code, 0, "{reports:?}");
    let [report] = reports.as_slice() else { panic!("one database: {reports:?}") };
    assert_eq!(report["database"], place.text("app.db"));
    assert_eq!(report["replica"], place.text("backup"));
    assert_eq!(report["process"], sidecar.process().id());
    assert_eq!((&report["phase"], &report["healthy"]), (&"following".into(), &true.into()));
    assert_eq!(report["durable_txid"], last.txid.to_string());
    assert_eq!(report["captured_txid"], last.txid.to_string());
    assert_eq!(report["durable_time"], last.time.to_string());
    let restore = |chain: &str, to: &str| {
        let (to, backup) = (place.text(to), place.text("backup"));
        place.run(&["restore", "-o", &to, "--expect-chain", chain, &backup]).status.code()
    };
    let chain = report["durable_chain"].as_str().unwrap();
    assert_eq!(restore(&format!("{chain}@{}", last.txid), "known.db"), Some(0));
    assert_eq!(restore(&"0".repeat(64), "another.db"), Some(4));
    assert_eq!(report["lag_seconds"], 0.0);
    assert!(report["log_frames"].as_u64().unwrap() >= 20);
    assert!(report["log_bytes"].as_u64().unwrap() >= 20 * 4096);
    assert_eq!(report["readers"], Value::Array(Vec::new()));
    assert!(report["segments"].as_u64().unwrap() >= 20);
    assert_eq!(report["snapshot_txid"], "0000000000000002");
    let table = String::from_utf8(place.run(&["status"]).stdout).unwrap();
    assert!(table.contains(&place.text("app.db")) && table.contains("following"), "{table}");
    assert_eq!(sidecar.stop(), 0);
    assert!(place.sockets().is_empty(), "the socket goes with its process");
}

/// Ten commits a second would wait for a token, and here the next token comes in a quarter of an hour.
#[test]
fn a_sync_does_not_wait_for_the_next_put_that_is_due() {
    let place = Place::new();
    let application = place.database("app.db");
    let config = format!(
        "[[database]]\npath = {:?}\nreplica = {:?}\nputs-per-second = 0.001\nputs-burst = 1\n",
        place.path("app.db"),
        place.path("backup")
    );
    fs::write(place.path("ebbtide.toml"), config).unwrap();
    let config = place.text("ebbtide.toml");
    let mut replicate = command(&["replicate", "--log-format", "json", "--config", &config]);
    let sidecar = Sidecar::start_command(replicate.env("EBBTIDE_RUNTIME_DIR", place.path("run")));
    let lag = |place: &Place| place.status(&[]).1[0]["lag_seconds"].as_f64().unwrap();
    for _ in 0..5 {
        // Those that are captured together go in one put, which may be the one that is due.
        wait_until("a commit that is not durable", || {
            insert(&application);
            lag(&place) > 0.0
        });
        let ended = place.run(&["sync", "--wait"]);
        assert_eq!(code(&ended), 0, "{}", said(&ended));
        assert_eq!(lag(&place).to_string(), "0");
    }
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn the_process_that_keeps_the_log_is_named() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    insert(&application);
    assert_eq!(place.status(&[]).1[0]["readers"], Value::Array(Vec::new()));
    application.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let (code, reports) = place.status(&[]);
    assert_eq!(code, 0, "a reader is worth knowing, and nothing wrong");
    let reader = &reports[0]["readers"][0];
    assert_eq!(reader["pid"], std::process::id());
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(reader["name"], name.trim_end());
    application.execute_batch("COMMIT").unwrap();
    assert_eq!(place.status(&[]).1[0]["readers"], Value::Array(Vec::new()));
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_store_that_is_away_shows_as_trouble_and_lag_and_a_sync_says_so() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    let ended = place.run(&["sync", "--wait"]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    fs::rename(place.path("backup"), place.path("elsewhere")).unwrap();
    fs::write(place.path("backup"), "a file where the replica was").unwrap();
    insert(&application);
    wait_until("the trouble to show", || !place.status(&[]).1[0]["store_trouble"].is_null());
    let (status, reports) = place.status(&[]);
    assert_eq!(status, 1, "{reports:?}");
    assert_eq!(reports[0]["healthy"], false);
    assert!(reports[0]["lag_seconds"].as_f64().unwrap() > 0.0, "{reports:?}");
    let ended = place.run(&["sync", "--wait", "--timeout", "200ms"]);
    assert_eq!(code(&ended), 1);
    assert!(said(&ended).contains("not durable within 200ms"), "{}", said(&ended));
    // Asking alone is no promise.
    assert_eq!(code(&place.run(&["sync", &place.text("app.db")])), 0);
    fs::remove_file(place.path("backup")).unwrap();
    fs::rename(place.path("elsewhere"), place.path("backup")).unwrap();
    let ended = place.run(&["sync", "--wait", "--timeout", "60s", &place.text("app.db")]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    let (status, reports) = place.status(&[]);
    assert_eq!((status, reports[0]["lag_seconds"].as_f64()), (0, Some(0.0)), "{reports:?}");
    assert_eq!(sidecar.stop(), 0);
}

/// The bucket refuses a few puts, each of which is tried again within a second or two. Would catch an alarm at every one
/// of them.
#[test]
fn a_put_that_is_tried_again_shows_as_trouble_and_is_healthy() {
    let place = Place::new();
    let server = S3Server::start();
    let application = place.database("app.db");
    let args = ["replicate", "--log-format", "json", &place.text("app.db"), &server.address("app")];
    let mut replicate = command(&args);
    replicate.env("EBBTIDE_RUNTIME_DIR", place.path("run")).envs(server.environment());
    let sidecar = Sidecar::start_command(&mut replicate);
    server.script(|_: &Asked| Some(Fault::Refused(503, "SlowDown")));
    insert(&application);
    let trouble = |place: &Place| place.status(&[]).1[0]["store_trouble"].clone();
    wait_until("the trouble to show", || !trouble(&place).is_null());
    let (status, reports) = place.status(&[]);
    assert_eq!((status, &reports[0]["healthy"]), (0, &true.into()), "{reports:?}");
    assert_eq!(reports[0]["attention"], Value::Array(Vec::new()));
    wait_until("it to last", || place.status(&[]).0 == 1);
    assert_eq!(place.status(&[]).1[0]["attention"][0], "store");
    server.heal();
    wait_until("it to pass", || place.status(&[]).0 == 0);
    assert_eq!(trouble(&place), Value::Null);
    assert_eq!(sidecar.stop(), 0);
}

/// What an SQLite with the WAL-reset bug leaves behind, or a process that died in the midst of beginning the log anew:
/// the next frames count as copied and never will be. Would catch that nobody hears of it before the pages are missed.
#[test]
fn a_wal_index_that_is_damaged_is_told() {
    let place = Place::new();
    let application = place.database("app.db");
    insert(&application);
    let shm = OpenOptions::new().read(true).write(true).open(place.path("app.db-shm")).unwrap();
    // `nBackfill`, right behind the two copies of the header.
    shm.write_all_at(&1000_u32.to_ne_bytes(), 96).unwrap();
    let sidecar = place.follow("app.db", "backup");
    sidecar.process().line_with("more frames were copied into the database than", PATIENCE);
    let (status, reports) = place.status(&[]);
    assert_eq!((status, &reports[0]["attention"][0]), (1, &"wal-index".into()), "{reports:?}");
    let table = String::from_utf8(place.run(&["status"]).stdout).unwrap();
    assert!(table.contains("the wal-index is damaged"), "{table}");
    // Everything is shipped all the same.
    insert(&application);
    assert_eq!(code(&place.run(&["sync", "--wait"])), 0);
    assert_eq!(sidecar.stop(), 0);
    // Closed after the application's connection: closing it drops the locks of this process.
    drop(application);
    drop(shm);
}

#[test]
fn nobody_there_is_not_healthy_and_a_killed_process_leaves_nothing_in_the_way() {
    let place = Place::new();
    let _application = place.database("app.db");
    let ended = place.run(&["status"]);
    assert_eq!(code(&ended), 1);
    assert!(said(&ended).contains("no running `ebbtide replicate`"), "{}", said(&ended));
    assert_eq!(code(&place.run(&["sync"])), 1);
    let sidecar = place.follow("app.db", "backup");
    let left = place.sockets();
    sidecar.kill();
    assert_eq!(place.sockets(), left, "a killed process cannot clean up");
    assert_eq!(code(&place.run(&["status"])), 1);
    let sidecar = place.follow("app.db", "backup");
    assert_eq!(place.sockets().len(), 1, "the next one does it");
    let ended = place.run(&["sync", &place.text("other.db")]);
    assert_eq!(code(&ended), 1);
    assert!(said(&ended).contains("other.db"), "{}", said(&ended));
    // The same file by another name.
    std::os::unix::fs::symlink(place.path("app.db"), place.path("link.db")).unwrap();
    assert_eq!(code(&place.run(&["sync", "--wait", &place.text("link.db")])), 0);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_database_of_the_configuration_that_nobody_follows_is_not_healthy() {
    let place = Place::new();
    let (_one, _two) = (place.database("one.db"), place.database("two.db"));
    let mut config = String::new();
    for name in ["one", "two"] {
        let (database, replica) = (place.path(&format!("{name}.db")), place.path(name));
        config += &format!("[[database]]\npath = {database:?}\nreplica = {replica:?}\n");
    }
    fs::write(place.path("ebbtide.toml"), config).unwrap();
    let one = place.follow("one.db", "one");
    let config = ["--config", &place.text("ebbtide.toml")];
    let (status, reports) = place.status(&config);
    assert_eq!((status, reports.len()), (1, 2));
    assert_eq!((&reports[0]["healthy"], &reports[1]["healthy"]), (&true.into(), &false.into()));
    assert!(reports[1]["process"].is_null() && reports[1]["phase"].is_null());
    let two = place.follow("two.db", "two");
    let (status, reports) = place.status(&config);
    assert_eq!((status, reports.len()), (0, 2), "two processes, one answer: {reports:?}");
    assert_ne!(reports[0]["process"], reports[1]["process"]);
    assert_eq!((one.stop(), two.stop()), (0, 0));
}

#[test]
fn a_process_that_does_not_answer_is_not_healthy() {
    let place = Place::new();
    let _application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    sidecar.process().signal(Signal::SIGSTOP).unwrap();
    wait_until("it to stop", || sidecar.process().is_stopped());
    let ended = place.run(&["status"]);
    sidecar.process().signal(Signal::SIGCONT).unwrap();
    assert_eq!(code(&ended), 1);
    assert!(said(&ended).contains("does not answer"), "{}", said(&ended));
    wait_until("it to go on", || place.status(&[]).0 == 0);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_folder_that_others_may_enter_is_not_used_and_everything_else_goes_on() {
    let place = Place::new();
    let application = place.database("app.db");
    fs::set_permissions(place.path("run"), Permissions::from_mode(0o755)).unwrap();
    let args = ["replicate", "--log-format", "json", &place.text("app.db"), &place.text("backup")];
    let mut replicate = command(&args);
    let process = ebbtide_testkit::process::Process::start(
        replicate.env("EBBTIDE_RUNTIME_DIR", place.path("run")),
        ebbtide_testkit::process::Output::Stderr,
    );
    let mut process = process.unwrap();
    let warning = process.line_with("no socket", PATIENCE);
    assert!(warning.contains("others may enter it"), "{warning}");
    process.line_with("following", PATIENCE);
    assert!(place.sockets().is_empty());
    insert(&application);
    process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(process.wait(PATIENCE).unwrap().code(), Some(0));
    let kinds = Replica::open(&place.text("backup")).entries();
    assert_eq!(kinds.last().unwrap().kind, ebbtide_replica::EntryKind::Commit);
}

/// Sends bytes and hands back what is answered until the other end hangs up.
fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may hang up before it has read everything.
    stream.write_all(bytes).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    answer
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let place = Place::new();
    let _application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    let socket = place.sockets().pop().unwrap();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for bytes in [
        b"\n".to_vec(),
        b"{\"verb\":\"stop\"}\n".to_vec(),
        b"{\"verb\":\"sync\",\"database\":\"/etc/passwd\"}\n".to_vec(),
        vec![b'{'; 1 << 20],
        vec![0xff; 100],
    ] {
        let answer = raw(&socket, &bytes);
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }
    // Many that say nothing keep nobody else from asking.
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"phase\":\"following\""), "{answer}");
    drop(silent);
    assert_eq!(place.status(&[]).0, 0);
    assert_eq!(sidecar.stop(), 0);
}

/// Would catch a process whose answers wait for peers that say nothing.
#[test]
fn z16_peers_that_say_nothing_keep_nobody_waiting() {
    let place = Place::new();
    let database = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    let socket = fs::read_dir(place.path("run")).unwrap().next().unwrap().unwrap().path();
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    database.execute("INSERT INTO t VALUES (1)", []).unwrap();
    assert_eq!(code(&place.run(&["sync", "--wait"])), 0);
    assert_eq!(place.status(&[]).0, 0);
    drop(silent);
    assert_eq!(sidecar.stop(), 0);
}
