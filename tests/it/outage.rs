//! The store goes away: while the database is followed, in the midst of a large transaction, and before it was ever
//! there. The application goes on, its log stays within the budget, and in the end nothing is missing but, at worst,
//! points in time. Would catch a log that grows without end, a spool that is not sent or sent twice, and stale rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ebbtide_catalog::Target;
use ebbtide_replica::{Entry, EntryFlags, EntryKind};
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, status, wait_until};

/// An application, and a configuration with the least budgets that there are.
struct Scene {
    folder: TempDir,
    server: S3Server,
    application: Connection,
}

impl Scene {
    fn new(spool_max: &str) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start();
        let application = Connection::open(folder.path().join("app.db")).unwrap();
        application
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, b)")
            .unwrap();
        let text = format!(
            "shutdown-timeout = \"40s\"\n[[database]]\npath = {:?}\nreplica = {:?}\nlog-max = \"16 MiB\"\n\
             spool-max = {spool_max:?}\nputs-per-second = 100\n",
            folder.path().join("app.db"),
            server.address("app"),
        );
        std::fs::write(folder.path().join("ebbtide.toml"), text).unwrap();
        Scene { folder, server, application }
    }

    /// The store has gone away, much was written and spooled, and the sidecar was killed.
    fn killed_with_a_spool() -> Scene {
        let scene = Scene::new("256 MiB");
        let sidecar = scene.follow();
        scene.store_goes_away();
        scene.write(250);
        wait_until("much to be spooled", || spooled(&scene.spool()) >= 3);
        sidecar.kill().unwrap();
        scene
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn replicate(&self) -> Process {
        let config = self.folder.path().join("ebbtide.toml");
        let args = ["replicate", "--log-format", "json", "--config", config.to_str().unwrap()];
        let mut command = command(&args);
        command.envs(self.server.environment());
        Process::start(&mut command, Output::Stderr).unwrap()
    }

    fn follow(&self) -> Process {
        let process = self.replicate();
        process.line_with("following", PATIENCE);
        process
    }

    fn store_goes_away(&self) {
        self.server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
    }

    /// Commits of about 200 kB that no compression helps with.
    fn write(&self, commits: u32) {
        for _ in 0..commits {
            self.application.execute("INSERT INTO t (b) VALUES (randomblob(200000))", []).unwrap();
        }
    }

    fn log_bytes(&self) -> u64 {
        self.folder.path().join("app.db-wal").metadata().unwrap().len()
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join(".app.db-ebbtide/spool/log")
    }

    /// Ends the sidecar in good order; the history, which must end in the database's state.
    fn end(&self, sidecar: Process) -> Vec<Entry> {
        stop(sidecar, 0);
        let replica = self.replica();
        replica.assert_ends_with(&self.database(), self.folder.path());
        assert!(spooled(&self.spool()) == 0, "the spool is empty in the end");
        replica.entries()
    }

    /// What `ebbtide status --json` says of the database.
    fn status(&self) -> serde_json::Value {
        status(&self.folder.path().join("ebbtide.toml"))
    }

    fn replica(&self) -> Replica {
        Replica::on(&self.server, "app")
    }
}

/// Asks a sidecar to end; it must do so with this exit code.
fn stop(mut sidecar: Process, code: i32) {
    sidecar.signal(Signal::SIGTERM).unwrap();
    let ended = sidecar.wait(PATIENCE).unwrap();
    assert_eq!(ended.code(), Some(code), "{}", sidecar.lines_so_far().join("\n"));
}

/// How many segments lie in a spool.
fn spooled(spool: &Path) -> usize {
    let named = |name: &str| name.ends_with(".seg") && !name.starts_with('.');
    let entries = std::fs::read_dir(spool).into_iter().flatten();
    entries.filter(|entry| named(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
}

fn gaps(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| ebbtide_catalog::missed_since(entry).is_some()).count()
}

fn commits(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count()
}

#[test]
fn s10_what_the_log_cannot_hold_is_spooled_and_every_transaction_arrives() {
    let scene = Scene::new("256 MiB");
    let sidecar = scene.follow();
    scene.write(5);
    scene.store_goes_away();
    scene.write(200);
    wait_until("the spool to be used", || spooled(&scene.spool()) > 0);
    wait_until("the spool to show", || scene.status()["spool_bytes"].as_u64() > Some(0));
    assert!(scene.status()["spool_segments"].as_u64() > Some(0));
    scene.write(100);
    let longest = scene.log_bytes();
    assert!(longest < 96 << 20, "the log grew to {longest} bytes for 60 MB written");
    scene.server.heal();
    scene.write(5);
    let entries = scene.end(sidecar);
    assert_eq!(gaps(&entries), 0);
    assert_eq!(commits(&entries), 310);
}

#[test]
fn s10_what_is_spooled_survives_a_kill_and_a_log_that_was_begun_anew() {
    let scene = Scene::killed_with_a_spool();
    scene.write(1);
    scene.application.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    scene.write(3);
    scene.server.heal();
    let sidecar = scene.follow();
    let entries = scene.end(sidecar);
    assert_eq!(gaps(&entries), 1, "what was not spooled yet is one step");
    assert!(commits(&entries) >= 50, "{} of 250 came by the spool", commits(&entries));
    // Each of them is a state that can be had; a restore proves it.
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Commit).step_by(20) {
        scene.replica().restore(Target::Txid(entry.txid), scene.folder.path());
    }
}

/// What is spooled may be the only copy of single commits. Would catch a start that removes it before it has found out that
/// it may not go on.
#[test]
fn s10_a_start_that_is_refused_leaves_what_is_spooled() {
    let scene = Scene::killed_with_a_spool();
    scene.server.heal();
    // Meanwhile another process goes on from what is in the replica.
    let (copy, address) = (scene.folder.path().join("copy.db"), scene.server.address("app"));
    let copy = copy.to_str().unwrap();
    let run = |args: &[&str]| {
        command(args).envs(scene.server.environment()).output().unwrap().status.code()
    };
    assert_eq!(run(&["restore", "-o", copy, &address]), Some(0));
    Connection::open(copy).unwrap().execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    assert_eq!(run(&["replicate", "--once", "--adopt", copy, &address]), Some(0));
    let before = spooled(&scene.spool());
    for _ in 0..2 {
        let config = scene.folder.path().join("ebbtide.toml");
        assert_eq!(run(&["replicate", "--config", config.to_str().unwrap()]), Some(5));
        assert_eq!(spooled(&scene.spool()), before);
    }
}

#[test]
fn s10_when_the_spool_is_full_the_log_is_let_go_and_the_gap_is_recorded() {
    let scene = Scene::new("1 MiB");
    let sidecar = scene.follow();
    scene.write(5);
    scene.store_goes_away();
    let mut written = 0;
    while !sidecar.lines_so_far().iter().any(|line| line.contains("the log was let go")) {
        assert!(written < 2000, "it is never let go");
        scene.write(10);
        written += 10;
    }
    // The application has its checkpoints back, so its log stays short without us.
    scene.write(200);
    let longest = scene.log_bytes();
    assert!(longest < 160 << 20, "the log grew to {longest} bytes");
    scene.server.heal();
    sidecar.line_with("following", PATIENCE);
    let entries = scene.end(sidecar);
    assert_eq!(gaps(&entries), 1);
    assert!(!entries.iter().any(|entry| entry.flags.contains(EntryFlags::FORK)));
}

#[test]
fn s03_an_upload_that_is_lost_in_its_midst_is_made_again_from_the_log() {
    let scene = Scene::new("256 MiB");
    let sidecar = scene.follow();
    let mut failures = 0;
    scene.server.script(move |asked: &Asked| {
        let part = asked.operation() == "UploadPart";
        failures += u32::from(part);
        (part && failures % 7 != 0 && failures < 20).then_some(Fault::Dropped)
    });
    let many = "INSERT INTO t (b) SELECT randomblob(200000) FROM
        (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n)";
    scene.application.execute(many, []).unwrap();
    scene.write(3);
    let entries = scene.end(sidecar);
    assert_eq!(gaps(&entries), 0, "the log had it");
    assert_eq!(commits(&entries), 4);
}

#[test]
fn s02_a_store_that_is_away_at_the_start_is_reported_within_seconds_and_nothing_is_missed() {
    let scene = Scene::new("256 MiB");
    stop(scene.follow(), 0);
    for fault in [Fault::Silence, Fault::Refused(503, "SlowDown")] {
        scene.server.script(move |_: &Asked| Some(fault.clone()));
        let began = Instant::now();
        let sidecar = scene.replicate();
        sidecar.line_with("the log waits", PATIENCE);
        println!("reported after {:?}", began.elapsed());
        scene.write(20);
        scene.server.heal();
        sidecar.line_with("following", PATIENCE);
        assert_eq!(gaps(&scene.end(sidecar)), 0);
    }
}

/// Nothing can be spooled for a replica whose end nobody has seen, so the log waits for as long as both may. Would catch
/// commits that are left out or dated when the store is back, and a log that grows without end.
#[test]
fn s10_while_nothing_is_known_of_the_replica_the_log_waits_up_to_both_budgets() {
    let scene = Scene::new("16 MiB");
    stop(scene.follow(), 0);
    scene.store_goes_away();
    let sidecar = scene.replicate();
    sidecar.line_with("the log waits", PATIENCE);
    scene.write(110);
    assert!(scene.log_bytes() > 20 << 20, "longer than log-max alone");
    assert_eq!(spooled(&scene.spool()), 0);
    scene.server.heal();
    sidecar.line_with("following", PATIENCE);
    let entries = scene.end(sidecar);
    assert_eq!((gaps(&entries), commits(&entries)), (0, 110));
    // Some may have come between two looks.
    let dates: BTreeSet<_> = entries.iter().map(|entry| entry.time.as_micros()).collect();
    assert!(dates.len() > 30, "{} dates: commits are dated as they come", dates.len());

    scene.store_goes_away();
    let sidecar = scene.replicate();
    sidecar.line_with("the log waits", PATIENCE);
    scene.write(200);
    sidecar.line_with("the log was let go", PATIENCE);
    scene.server.heal();
    sidecar.line_with("following", PATIENCE);
    assert_eq!(gaps(&scene.end(sidecar)), 1);
}

/// A new replica takes some twenty requests, and one that is refused must not begin all of them anew, after a longer and
/// longer pause. Would catch a bucket that throttles and is never founded in.
#[test]
fn s01_a_new_replica_is_begun_although_the_bucket_refuses_some_puts() {
    let scene = Scene::new("256 MiB");
    let mut refused = [0, 0];
    scene.server.script(move |asked: &Asked| {
        let which = match asked.operation() {
            "PutObject" if asked.path.contains("/probe/") => 0,
            "PutObject" if asked.path.ends_with("/ebbtide.json") => 1,
            _ => return None,
        };
        refused[which] += 1;
        // All racers of the first probe, and three manifests, the last of which is there and its answer lost.
        match (which, refused[which]) {
            (0, ..=8) | (1, ..=2) => Some(Fault::Refused(503, "SlowDown")),
            (1, 3) => Some(Fault::AnswerLost),
            _ => None,
        }
    });
    let sidecar = scene.replicate();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("\"following\"")) {
        said.push(sidecar.line(PATIENCE).expect("it goes on"));
    }
    assert!(!said.iter().any(|line| line.contains("following again")), "{}", said.join("\n"));
    scene.write(1);
    assert_eq!(commits(&scene.end(sidecar)), 1);
}

/// The application has copied back what it wrote while nobody followed it, so the next writer would begin the log anew,
/// and the start does not get to read it while it waits for the store. Would catch commits that the log had and that are
/// one step of history all the same.
#[test]
fn s02_a_log_that_was_copied_back_is_kept_until_a_start_that_waits_for_the_store_has_read_it() {
    let scene = Scene::new("256 MiB");
    stop(scene.follow(), 0);
    let insert = || scene.application.execute("INSERT INTO t (b) VALUES ('x')", []).unwrap();
    for _ in 0..20 {
        insert();
    }
    let progress = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(1)?, row.get::<_, u32>(2)?));
    let passive = "PRAGMA wal_checkpoint(PASSIVE)";
    let (frames, copied) = scene.application.query_row(passive, [], progress).unwrap();
    assert_eq!(frames, copied);
    assert!(frames >= 20, "the log has all of them");
    scene.store_goes_away();
    let sidecar = scene.replicate();
    sidecar.line_with("the log waits", PATIENCE);
    insert();
    scene.server.heal();
    sidecar.line_with("following", PATIENCE);
    let entries = scene.end(sidecar);
    assert_eq!((gaps(&entries), commits(&entries)), (0, 21));
}

#[test]
fn s13_a_database_that_is_older_than_its_replica_is_refused_without_local_state_and_recorded_with_it()
 {
    let folder = tempfile::tempdir().unwrap();
    let (database, older) = (folder.path().join("app.db"), folder.path().join("older.db"));
    let replica = folder.path().join("backup");
    let replica = replica.to_str().unwrap();
    let write = |rows: u32| {
        let application = Connection::open(&database).unwrap();
        application
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (b)")
            .unwrap();
        for _ in 0..rows {
            application.execute("INSERT INTO t VALUES (randomblob(900))", []).unwrap();
        }
    };
    write(50);
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    std::fs::copy(&database, &older).unwrap();
    let sidecar = Sidecar::start(&database, replica);
    write(50);
    assert_eq!(sidecar.stop(), 0);
    let entries = Replica::open(replica).entries().len();
    let (code, said) = Sidecar::spawn(&older, replica).end();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("older copy"), "{said}");
    assert_eq!(Replica::open(replica).entries().len(), entries, "it has claimed nothing");
    // Set back at its own place, it is what its local state knows, and goes on.
    std::fs::copy(&older, &database).unwrap();
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    let entries = Replica::open(replica).entries();
    assert!(entries.last().unwrap().flags.contains(EntryFlags::FORK));
    let (_, restored) = Replica::open(replica).restore(Target::Latest, folder.path());
    assert_eq!(restored, Image::of(&oracle::committed(&database).unwrap()));
}
