//! What applications, their files and operators do to a sidecar that follows: a few of the hazards, one test each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_replica::{EntryKind, Folder};
use ebbtide_testkit::faulty::{Call, Outcome};
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::zeroed_frame::ZeroedFrame;
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, wait_until};

/// An application, its database and the place of its replica.
struct Stage {
    folder: TempDir,
    path: PathBuf,
    replica: String,
    application: Connection,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let replica = folder.path().join("backup").to_str().unwrap().to_owned();
        let application = open(&path);
        insert(&application, 5);
        Stage { folder, path, replica, application }
    }

    fn follow(&self) -> Sidecar {
        Sidecar::start(&self.path, &self.replica)
    }

    /// What the replica has is what the database is, and no commit is left out.
    fn assert_exact(&self, commits: usize) {
        let replica = Replica::open(&self.replica);
        replica.assert_ends_with(&self.path, self.folder.path());
        let entries = replica.entries();
        let found = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
        assert_eq!(found, commits, "each commit is an entry of its own");
    }
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, b)",
        )
        .unwrap();
    connection
}

fn insert(connection: &Connection, rows: u32) {
    for _ in 0..rows {
        connection.execute("INSERT INTO t (b) VALUES (randomblob(900))", []).unwrap();
    }
}

/// `-wal`, `-shm` or the database itself is taken away: what the application writes then goes where nobody can follow,
/// and that must not stay unsaid.
fn is_told(stage: &Stage, sidecar: &Sidecar, name: &str) {
    let file = stage.folder.path().join(name);
    let line = sidecar.process().line_with("following again", PATIENCE);
    assert!(line.contains(file.to_str().unwrap()), "{line}");
}

#[test]
fn a08_a_log_that_is_deleted_is_told() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    std::fs::remove_file(stage.folder.path().join("app.db-wal")).unwrap();
    is_told(&stage, &sidecar, "app.db-wal");
}

#[test]
fn a09_a_wal_index_that_is_deleted_is_told() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    std::fs::remove_file(stage.folder.path().join("app.db-shm")).unwrap();
    is_told(&stage, &sidecar, "app.db-shm");
}

/// Another database takes this one's name: what the replica has of the first stays as it is.
#[test]
fn a11_a_database_that_is_replaced_is_told_and_its_history_stays() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    insert(&stage.application, 5);
    let replica = Replica::open(&stage.replica);
    wait_until("everything to be durable", || replica.entries().len() >= 7);
    let before = replica.entries();
    let other = stage.folder.path().join("other.db");
    insert(&open(&other), 50);
    std::fs::rename(&other, &stage.path).unwrap();
    is_told(&stage, &sidecar, "app.db");
    sidecar.kill();
    assert_eq!(replica.entries()[..before.len()], before);
}

/// A database that is deleted is waited for, and never made by us.
#[test]
fn a13_a_database_that_is_deleted_is_told_and_not_made_anew() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        std::fs::remove_file(stage.folder.path().join(name)).unwrap();
    }
    is_told(&stage, &sidecar, "app.db");
    sidecar.process().line_with("no such file", PATIENCE);
    assert!(!stage.path.exists());
    sidecar.kill();
}

/// SQLite 3.11.0 to 3.49.2 can commit frames without salts and checksum. Whoever follows an application with one of
/// those finds them in the log, and SQLite itself reads them.
#[test]
fn a23_a_log_with_a_frame_that_was_never_sealed_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let live = ZeroedFrame::place(folder.path()).unwrap();
    let replica = folder.path().join("backup").to_str().unwrap().to_owned();
    let sidecar = Sidecar::start(live.path(), &replica);
    insert(&open(live.path()), 3);
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("following again"), "{said}");
    let expected = Image::of(&oracle::committed(live.path()).unwrap());
    let replica = Replica::open(&replica);
    assert_eq!(replica.restore(Target::Latest, folder.path()).1, expected);
}

/// Two databases, each followed by itself, and transactions over both: each history is whole, and nothing is promised of
/// the two together.
#[test]
fn a25_transactions_over_attached_databases_are_exact_in_each() {
    let (one, two) = (Stage::new(), Stage::new());
    let sidecars = [one.follow(), two.follow()];
    one.application.execute("ATTACH ?1 AS two", [two.path.to_str().unwrap()]).unwrap();
    for _ in 0..30 {
        let both = "BEGIN; INSERT INTO main.t (b) VALUES (randomblob(900));
                    INSERT INTO two.t (b) VALUES (randomblob(900)); COMMIT";
        one.application.execute_batch(both).unwrap();
    }
    for sidecar in sidecars {
        assert_eq!(sidecar.stop(), 0);
    }
    one.assert_exact(30);
    two.assert_exact(30);
}

/// The restored file is the application's, so its header says WAL: it is read also where no log can be made beside it.
#[test]
fn d15_a_restored_file_is_read_with_and_without_a_log_beside_it() {
    let stage = Stage::new();
    assert_eq!(stage.follow().stop(), 0);
    let output = stage.folder.path().join("copy.db");
    Replica::open(&stage.replica).restore_into(Target::Latest, &output);
    let header = std::fs::read(&output).unwrap();
    assert_eq!(header[18..20], [2, 2], "WAL mode, as the application set it");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    for options in ["?immutable=1", ""] {
        let address = format!("file:{}{options}", output.to_str().unwrap());
        let copy = Connection::open_with_flags(address, flags).unwrap();
        let rows: u32 = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 5, "{options}");
    }
}

/// A listing that lags shows an older end of the history; what it does not show is found by its name.
#[test]
fn s11_a_listing_that_lags_hides_nothing() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    let replica = Replica::open(&stage.replica);
    for commits in 1..=6 {
        insert(&stage.application, 1);
        wait_until("a segment for each", || replica.entries().len() == 2 + commits);
    }
    assert_eq!(sidecar.stop(), 0);
    let head = replica.head();
    let expected = Image::of(&oracle::committed(&stage.path).unwrap());
    let (replica, faulty) = replica.through_faults();
    for missing in 1..=3 {
        faulty.script(move |call| match call {
            Call::List(Folder::Log) => Some(Outcome::Lag(missing)),
            _ => None,
        });
        assert_eq!(replica.head(), head, "without the last {missing}");
        let restored = replica.restore(Target::Latest, stage.folder.path()).1;
        assert_eq!(restored, expected, "without the last {missing}");
    }
}

#[test]
fn a27_a_database_in_exclusive_mode_is_refused_by_that_name() {
    let stage = Stage::new();
    stage
        .application
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t (b) VALUES (1)")
        .unwrap();
    let said = refusal(&stage.path, &stage.replica);
    assert!(said.to_lowercase().contains("exclusive"), "{said}");
}

/// What a sidecar says that ends by itself with exit code 1.
fn refusal(database: &Path, replica: &str) -> String {
    let mut command = command(&["replicate", database.to_str().unwrap(), replica]);
    let mut process = Process::start(&mut command, Output::Stderr).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    let said = std::iter::from_fn(|| process.line(PATIENCE)).collect::<Vec<_>>().join("\n");
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// The application keeps the write lock: nobody waits for it but other writers.
#[test]
fn a32_an_application_that_keeps_the_write_lock_is_followed() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    insert(&stage.application, 20);
    stage.application.execute_batch("BEGIN IMMEDIATE").unwrap();
    let replica = Replica::open(&stage.replica);
    wait_until("what came before to be durable", || replica.entries().len() >= 22);
    stage.application.execute_batch("INSERT INTO t (b) VALUES (1); COMMIT").unwrap();
    assert_eq!(sidecar.stop(), 0);
    stage.assert_exact(21);
}

#[test]
fn a34_the_second_of_two_replicators_of_a_database_is_refused() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    let elsewhere = stage.folder.path().join("elsewhere");
    let said = refusal(&stage.path, elsewhere.to_str().unwrap());
    assert!(said.contains(&sidecar.process().id().to_string()), "{said}");
    insert(&stage.application, 3);
    assert_eq!(sidecar.stop(), 0);
    stage.assert_exact(3);
}

/// An application that never waits for a lock, at leisure: nothing of ours is in its way.
#[test]
fn a40_an_application_that_does_not_wait_for_locks_meets_none_of_ours() {
    let stage = Stage::new();
    stage.application.busy_timeout(Duration::ZERO).unwrap();
    let sidecar = stage.follow();
    insert(&stage.application, 500);
    assert_eq!(sidecar.stop(), 0);
    stage.assert_exact(500);
}

/// Stopped for a while and continued, as with a machine that sleeps: the log keeps everything.
#[test]
fn b03_a_sidecar_that_is_stopped_and_continued_misses_nothing() {
    let stage = Stage::new();
    let sidecar = stage.follow();
    for _ in 0..5 {
        sidecar.process().signal(Signal::SIGSTOP).unwrap();
        insert(&stage.application, 60);
        stage.application.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        insert(&stage.application, 60);
        sidecar.process().signal(Signal::SIGCONT).unwrap();
        insert(&stage.application, 5);
    }
    assert_eq!(sidecar.stop(), 0);
    stage.assert_exact(625);
}
