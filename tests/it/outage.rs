//! The store goes away: while the database is followed, in the midst of a large transaction, and before it was ever
//! there. The application goes on, its log stays within the budget, and in the end nothing is missing but, at worst,
//! points in time. Would catch a log that grows without end, a spool that is not sent or sent twice, and stale rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ebbtide_catalog::Target;
use ebbtide_replica::{EntryFlags, EntryKind};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use ebbtide_testkit::writer::micros_now;

use crate::support::{App, Counts, PATIENCE, Setup, Sidecar, wait_until};

/// An application, and a sidecar that is configured with the least budgets that there are.
struct Outage {
    setup: Setup,
    server: S3Server,
    app: App,
}

impl Outage {
    fn new(spool_max: &str) -> Outage {
        let server = S3Server::start();
        let setup = Setup::new().in_bucket(&server);
        let app = setup.app();
        let budgets =
            format!("log-max = \"16 MiB\"\nspool-max = {spool_max:?}\nputs-per-second = 100");
        setup.configure("shutdown-timeout = \"40s\"", &budgets);
        Outage { setup, server, app }
    }

    /// The store has gone away, much was written and spooled, and the sidecar was killed.
    fn killed_with_a_spool() -> Outage {
        let outage = Outage::new("256 MiB");
        let sidecar = outage.follow();
        outage.store_goes_away();
        outage.write(250);
        wait_until("much to be spooled", || spooled(&outage.spool()) >= 3);
        sidecar.kill();
        outage
    }

    fn replicate(&self) -> Sidecar {
        let config = self.setup.text("ebbtide.toml");
        let args = ["replicate", "--log-format", "json", "--config", &config];
        Sidecar::spawn_command(&mut self.setup.command(&args))
    }

    fn follow(&self) -> Sidecar {
        let sidecar = self.replicate();
        sidecar.wait_until_it_follows();
        sidecar
    }

    fn store_goes_away(&self) {
        self.server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
    }

    /// Commits of about 200 kB that no compression helps with.
    fn write(&self, commits: u32) {
        self.app.insert(commits, 200_000);
    }

    fn log_bytes(&self) -> u64 {
        self.setup.path("app.db-wal").metadata().unwrap().len()
    }

    fn spool(&self) -> PathBuf {
        self.setup.path(".app.db-ebbtide/spool/log")
    }

    /// The entry with which the last segment in the spool begins.
    fn spooled_to(&self) -> u64 {
        let names = std::fs::read_dir(self.spool()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let number = |name: String| u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok();
        names.filter_map(number).max().unwrap()
    }

    /// Ends the sidecar in good order; the history, which must end in the database's state.
    #[track_caller]
    fn end(&self, sidecar: Sidecar) -> Counts {
        self.setup.assert_exact_after(sidecar);
        assert!(spooled(&self.spool()) == 0, "the spool is empty in the end");
        self.setup.history().counts()
    }
}

/// How many segments lie in a spool.
fn spooled(spool: &Path) -> usize {
    let named = |name: &str| name.ends_with(".seg") && !name.starts_with('.');
    let entries = std::fs::read_dir(spool).into_iter().flatten();
    entries.filter(|entry| named(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
}

#[test]
fn s10_what_the_log_cannot_hold_is_spooled_and_every_transaction_arrives() {
    let outage = Outage::new("256 MiB");
    let sidecar = outage.follow();
    outage.write(5);
    outage.store_goes_away();
    outage.write(200);
    wait_until("the spool to be used", || spooled(&outage.spool()) > 0);
    wait_until("the spool to show", || outage.setup.report()["spool_bytes"].as_u64() > Some(0));
    assert!(outage.setup.report()["spool_segments"].as_u64() > Some(0));
    outage.write(100);
    // 60 MB were written, and the log may have 16 MiB: it has been restarted, or will be by the next commits.
    let mut written = 305;
    wait_until("the log to be restarted", || {
        outage.write(1);
        written += 1;
        outage.setup.report()["log_frames"].as_u64().is_some_and(|frames| frames < 5000)
    });
    outage.server.heal();
    outage.write(5);
    assert_eq!(outage.end(sidecar), Counts::commits(written + 5));
}

/// Would catch a client that waits during an outage and so has a segment spooled for each look at the log, more than can be put
/// afterwards.
#[test]
fn s10_a_sync_that_waits_for_the_store_does_not_fill_the_spool_with_small_segments() {
    let outage = Outage::new("256 MiB");
    // One put a second, as usual.
    outage.setup.configure("", "log-max = \"16 MiB\"\nspool-max = \"256 MiB\"");
    let sidecar = outage.follow();
    outage.store_goes_away();
    outage.write(200);
    wait_until("the spool to be used", || spooled(&outage.spool()) > 0);
    let mut sync = outage.setup.command(&["sync", "--wait", "--timeout", "100s"]);
    let mut waiting = sync.spawn().unwrap();
    let (began, before) = (Instant::now(), spooled(&outage.spool()));
    for _ in 0..1000 {
        outage.app.insert(1, 100);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let (seconds, after) = (began.elapsed().as_secs(), spooled(&outage.spool()));
    let most = before as u64 + 5 + seconds;
    assert!(after as u64 <= most, "{after} segments after {seconds} s, of {before} before");
    outage.server.heal();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(outage.end(sidecar), Counts::commits(1200));
}

#[test]
fn s10_what_is_spooled_survives_a_kill_and_a_log_that_was_begun_anew() {
    let outage = Outage::killed_with_a_spool();
    let spooled = outage.spooled_to();
    outage.write(1);
    outage.app.checkpoint("TRUNCATE");
    outage.write(3);
    outage.server.heal();
    let sidecar = outage.follow();
    assert_eq!(outage.end(sidecar).gaps, 1, "what was not spooled yet is one step");
    let history = outage.setup.history();
    // The first two are the claim and the state that it began with.
    let entries = history.entries();
    let came = entries.iter().skip(2).take_while(|entry| entry.txid.get() <= spooled);
    let kinds: Vec<EntryKind> = came.clone().map(|entry| entry.kind).collect();
    assert!(kinds.len() > 2 && kinds.iter().all(|kind| *kind == EntryKind::Commit), "{kinds:?}");
    // Each of them is a state that can be had; a restore proves it.
    for entry in came.step_by(20) {
        history.restore(Target::Txid(entry.txid), outage.setup.directory.path());
    }
}

/// What is spooled may be the only copy of single commits. Would catch a start that removes it before it has found out that
/// it may not go on.
#[test]
fn s10_a_start_that_is_refused_leaves_what_is_spooled() {
    let outage = Outage::killed_with_a_spool();
    outage.server.heal();
    // Meanwhile another process goes on from what is in the replica.
    let setup = &outage.setup;
    let copy = setup.text("copy.db");
    setup.restore(&["-o", &copy]).exits(0);
    setup.other_app("copy.db").insert(1, 8);
    setup.run(&["replicate", "--once", "--adopt", &copy, &setup.replica]).exits(0);
    let before = spooled(&outage.spool());
    for _ in 0..2 {
        setup.run(&["replicate", "--config", &setup.text("ebbtide.toml")]).exits(5);
        assert_eq!(spooled(&outage.spool()), before);
    }
}

#[test]
fn s10_when_the_spool_is_full_the_log_is_let_go_and_the_gap_is_recorded() {
    let outage = Outage::new("1 MiB");
    let sidecar = outage.follow();
    outage.write(5);
    outage.store_goes_away();
    let mut written = 0;
    while !sidecar.process().lines_so_far().iter().any(|line| line.contains("the log was let go")) {
        assert!(written < 2000, "it is never let go");
        outage.write(10);
        written += 10;
    }
    // The application has its checkpoints back, so its log stays short without us: it takes 40 MB more, again and again in
    // the same place.
    let before = outage.log_bytes();
    outage.write(200);
    let after = outage.log_bytes();
    assert!(after < before + (20 << 20), "the log grew from {before} to {after} bytes");
    outage.server.heal();
    sidecar.wait_until_it_follows();
    let counts = outage.end(sidecar);
    assert_eq!((counts.gaps, counts.forks), (1, 0));
}

#[test]
fn s03_an_upload_that_is_lost_in_its_midst_is_made_again_from_the_log() {
    let outage = Outage::new("256 MiB");
    let sidecar = outage.follow();
    let mut failures = 0;
    outage.server.script(move |asked: &Asked| {
        let part = asked.operation() == "UploadPart";
        failures += u32::from(part);
        (part && failures % 7 != 0 && failures < 20).then_some(Fault::Dropped)
    });
    let many = "INSERT INTO t (b) SELECT randomblob(200000) FROM
        (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n)";
    outage.app.execute(many, []).unwrap();
    outage.write(3);
    assert_eq!(outage.end(sidecar), Counts::commits(4), "the log had it");
}

#[test]
fn s02_a_store_that_is_away_at_the_start_is_reported_within_seconds_and_nothing_is_missed() {
    let outage = Outage::new("256 MiB");
    assert_eq!(outage.follow().stop(), 0);
    for fault in [Fault::Silence, Fault::Refused(503, "SlowDown")] {
        outage.server.script(move |_: &Asked| Some(fault.clone()));
        let began = Instant::now();
        let sidecar = outage.replicate();
        sidecar.process().line_with("the log waits", PATIENCE);
        println!("reported after {:?}", began.elapsed());
        outage.write(20);
        outage.server.heal();
        sidecar.wait_until_it_follows();
        assert_eq!(outage.end(sidecar).gaps, 0);
    }
}

/// Nothing can be spooled for a replica whose end nobody has seen, so the log waits for as long as both may. Would catch
/// commits that are left out or dated when the store is back, and a log that grows without end.
#[test]
fn s10_while_nothing_is_known_of_the_replica_the_log_waits_up_to_both_budgets() {
    let outage = Outage::new("16 MiB");
    assert_eq!(outage.follow().stop(), 0);
    outage.store_goes_away();
    let sidecar = outage.replicate();
    sidecar.process().line_with("the log waits", PATIENCE);
    outage.write(110);
    assert!(outage.log_bytes() > 20 << 20, "longer than log-max alone");
    assert_eq!(spooled(&outage.spool()), 0);
    // It answers, so it has had its turn since the first of them.
    assert_eq!(outage.setup.report()["durable_txid"], serde_json::Value::Null);
    let healed = i64::try_from(micros_now()).unwrap();
    outage.server.heal();
    sidecar.wait_until_it_follows();
    assert_eq!(outage.end(sidecar), Counts::commits(110));
    // Some may have come between two looks.
    let entries = outage.setup.history().entries();
    let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit);
    let dates: BTreeSet<_> = commits.map(|entry| entry.time.as_micros()).collect();
    println!("{} dates", dates.len());
    assert!(*dates.first().unwrap() < healed, "commits are dated as they come");

    outage.store_goes_away();
    let sidecar = outage.replicate();
    sidecar.process().line_with("the log waits", PATIENCE);
    outage.write(200);
    sidecar.process().line_with("the log was let go", PATIENCE);
    outage.server.heal();
    sidecar.wait_until_it_follows();
    assert_eq!(outage.end(sidecar).gaps, 1);
}

/// A new replica takes some twenty requests, and one that is refused must not begin all of them anew, after a longer and
/// longer pause. Would catch a bucket that throttles and is never founded in.
#[test]
fn s01_a_new_replica_is_begun_although_the_bucket_refuses_some_puts() {
    let outage = Outage::new("256 MiB");
    let mut refused = [0, 0];
    outage.server.script(move |asked: &Asked| {
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
    let sidecar = outage.replicate();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("\"following\"")) {
        said.push(sidecar.process().line(PATIENCE).expect("it goes on"));
    }
    assert!(!said.iter().any(|line| line.contains("following again")), "{}", said.join("\n"));
    outage.write(1);
    assert_eq!(outage.end(sidecar).commits, 1);
}

/// The application has copied back what it wrote while nobody followed it, so the next writer would begin the log anew,
/// and the start does not get to read it while it waits for the store. Would catch commits that the log had and that are
/// one step of history all the same.
#[test]
fn s02_a_log_that_was_copied_back_is_kept_until_a_start_that_waits_for_the_store_has_read_it() {
    let outage = Outage::new("256 MiB");
    assert_eq!(outage.follow().stop(), 0);
    let insert = || outage.app.execute("INSERT INTO t (b) VALUES ('x')", []).unwrap();
    for _ in 0..20 {
        insert();
    }
    let progress = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(1)?, row.get::<_, u32>(2)?));
    let passive = "PRAGMA wal_checkpoint(PASSIVE)";
    let (frames, copied) = outage.app.query_row(passive, [], progress).unwrap();
    assert_eq!(frames, copied);
    assert!(frames >= 20, "the log has all of them");
    outage.store_goes_away();
    let sidecar = outage.replicate();
    sidecar.process().line_with("the log waits", PATIENCE);
    insert();
    outage.server.heal();
    sidecar.wait_until_it_follows();
    assert_eq!(outage.end(sidecar), Counts::commits(21));
}

#[test]
fn s13_a_database_that_is_older_than_its_replica_is_refused_without_local_state_and_recorded_with_it()
 {
    let (setup, app) = Setup::with_rows(50);
    drop(app);
    let older = setup.path("older.db");
    assert_eq!(setup.follow().stop(), 0);
    std::fs::copy(&setup.database, &older).unwrap();
    let sidecar = setup.follow();
    setup.app().insert(50, 700);
    assert_eq!(sidecar.stop(), 0);
    let entries = setup.history().entries().len();
    setup.once_other("older.db", "backup", &[]).exits(5).says("older copy");
    assert_eq!(setup.history().entries().len(), entries, "it has claimed nothing");
    // Set back at its own place, it is what its local state knows, and goes on.
    std::fs::copy(&older, &setup.database).unwrap();
    assert_eq!(setup.follow().stop(), 0);
    let entries = setup.history().entries();
    assert!(entries.last().unwrap().flags.contains(EntryFlags::FORK));
    setup.assert_exact();
}
