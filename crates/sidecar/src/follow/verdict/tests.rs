//! The table of errors, row by row, against the one in `docs/operations.md`.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use ebbtide_replica::{Claim, Key, Timestamp, Txid};
use ebbtide_seal::KeyId;
use ebbtide_shipper::ReplicaOwner;
use ebbtide_store::{ErrorKind, StoreError};
use ebbtide_wal::PageSize;
use ebbtide_watcher::Break;

use ebbtide_shipper as shipper;
use ebbtide_state::StateError;
use ebbtide_wal::Unfollowable;
use ebbtide_watcher::{self as watcher, Moved, Refusal};

use super::*;
use crate::follow::error::Gravity;

const SESSION: &str = "ours";

fn ending() -> Ending<'static> {
    Ending {
        was_followed: false,
        has_begun: false,
        may_come: false,
        is_successor: false,
        is_finishing: false,
        session: SESSION,
    }
}

fn refused(refusal: Refusal) -> FollowError {
    FollowError::Watch(watcher::Error::Refused { path: PathBuf::from("app.db"), refusal })
}

fn moved(moved: Moved) -> FollowError {
    FollowError::Watch(watcher::Error::Moved { path: PathBuf::from("app.db"), moved })
}

fn fenced(session: &str) -> FollowError {
    let claim = Claim {
        host: "db1".to_owned(),
        pid: 1,
        session: session.to_owned(),
        version: String::new(),
        time: Timestamp::EPOCH,
        database: None,
        manifest: None,
    };
    FollowError::Ship(shipper::Error::Fenced { owner: ReplicaOwner(Some(Box::new(claim))) })
}

fn store(kind: ErrorKind) -> StoreError {
    StoreError::new(kind, "the store", "said no")
}

/// The name of an error in the table, and the error before and after the database was followed.
type Row = (&'static str, [FollowError; 2]);

fn both(name: &'static str, error: impl Fn() -> FollowError) -> Row {
    // Nobody said that the database will come.
    (name, [error().of_absent(), error()])
}

fn page_size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

fn of_database() -> Vec<Row> {
    let path = || PathBuf::from("app.db");
    let broken = move || {
        let cause = Break::Restarted;
        FollowError::Watch(watcher::Error::Broken { path: path(), frame: 1, cause })
    };
    let unreadable = move || {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        FollowError::Watch(watcher::Error::Io { doing: "read", path: path(), source })
    };
    vec![
        both("the database is not there", || refused(Refusal::Missing)),
        both("the database is empty", || refused(Refusal::Unfollowable(Unfollowable::Empty))),
        both("the database is in rollback-journal mode", || refused(Refusal::RollbackJournal)),
        both("another process has the database locked", || refused(Refusal::Exclusive)),
        both("the database cannot be followed for another reason", || {
            refused(Refusal::NetworkFileSystem("NFS"))
        }),
        both("another file has the database's name", || moved(Moved::Replaced)),
        both("the database was deleted", || moved(Moved::Deleted)),
        both("the log contradicts its wal-index", broken),
        both("a file of the database cannot be read, or SQLite refuses", unreadable),
    ]
}

fn of_replica() -> Vec<Row> {
    use shipper::Error;
    let (head, known, txid) = (Txid::FIRST.next(), Txid::FIRST, Txid::FIRST);
    let [replica, database] = [4096, 512].map(page_size);
    let row = |name, error: &dyn Fn() -> Error| both(name, || FollowError::Ship(error()));
    let (denied, away) = (|| store(ErrorKind::Denied), || store(ErrorKind::Unavailable));
    let behind = || Error::Behind { head, known, after_gap: None, owner: ReplicaOwner(None) };
    let encrypted = || Error::Encrypted { place: String::new() };
    let no_key =
        || Error::NoIndexKey { place: String::new(), id: KeyId::from_bytes([1; KeyId::SIZE]) };
    let no_log = || Error::NoLog { place: String::new(), object: Key::Manifest };
    vec![
        both("another process has claimed the replica", || fenced("theirs")),
        both("a claim of this process that had counted as failed is there", || fenced(SESSION)),
        row("the replica is ahead of the database, or is another one's", &behind),
        row("the replica was rolled back or overwritten", &|| Error::RolledBack(String::new())),
        row("the page sizes differ", &|| Error::PageSize { replica, database }),
        row(
            "the replica is encrypted and nothing is configured for that, or the reverse",
            &encrypted,
        ),
        row("the index key of an encrypted replica is not here", &no_key),
        row("the place has snapshots and no log", &no_log),
        row("the replica is gone", &|| Error::Gone { why: String::new() }),
        row("the pages do not add up to the digest", &|| Error::Unproven { txid, why: "" }),
        row("an upload was lost", &|| Error::Lost(away())),
        row("a commit lacks pages", &|| Error::Hole { from: 1, to: 2 }),
        row("the store refuses, or something in it is damaged", &|| Error::Store(denied())),
        row("the store does not answer", &|| Error::Store(away())),
        row("the replica changed while it was read", &|| Error::Changed("")),
    ]
}

fn of_us() -> Vec<Row> {
    let directory = || PathBuf::from(".app.db-ebbtide");
    let row = |name, error: &dyn Fn() -> StateError| both(name, || FollowError::State(error()));
    vec![
        row("another process follows the database", &|| StateError::Busy {
            directory: directory(),
            process: None,
        }),
        row("the local state is a newer ebbtide's", &|| StateError::Newer {
            file: directory(),
            version: 9,
        }),
        row("the local state cannot be written", &|| StateError::Broken { directory: directory() }),
        both("the log grew over its budget during an outage", || FollowError::LogReleased),
        both("too few files may be open", || FollowError::NoDescriptors { open: 95, limit: 100 }),
        both("a fault of ebbtide's own", || FollowError::Panicked(String::new())),
        both("the newest state cannot be restored", || FollowError::Unrestorable(String::new())),
    ]
}

fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stop => "stops",
        Verdict::Retry { awaits: Awaits::Pause | Awaits::Unlocked, .. } => "tries again",
        Verdict::Retry { awaits: Awaits::Database, .. } => "waits for the file",
        Verdict::Retry { awaits: Awaits::Store, .. } => "waits for the store",
        Verdict::Retry { awaits: Awaits::OtherProcess, .. } => "waits for it to end",
        Verdict::Retry { awaits: Awaits::Nothing, .. } => "follows the file that is there",
    }
}

/// The row of the table in `docs/operations.md`.
fn row(name: &str, [at_first, error]: &[FollowError; 2]) -> String {
    let first = verdict(at_first, &ending());
    let later = Ending { was_followed: true, has_begun: true, ..ending() };
    let at_end = Ending { is_finishing: true, ..later };
    let hold = match error.nature().hold {
        HoldAfter::Kept => "held",
        HoldAfter::GivenUp => "held, then compared",
        HoldAfter::Released => "released",
    };
    let code = match error.gravity() {
        Gravity::Failed => 1,
        Gravity::Damaged => 4,
        Gravity::Fenced => 5,
    };
    let verdicts = [first, verdict(error, &later), verdict(error, &at_end)];
    let hold = if verdicts == [Verdict::Stop; 3] { "–" } else { hold };
    let [first, later, at_end] = verdicts.map(said);
    format!("| {name} | {first} | {later} | {at_end} | {hold} | {code} |")
}

/// Would catch an error that is handled in another way than operators read, and one that stops what could go on.
#[test]
fn the_table_of_errors_is_that_of_operations_md() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("## What happens on an error").nth(1).unwrap_or_default();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let told: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    let errors = [of_database(), of_replica(), of_us()].into_iter().flatten();
    let expected: Vec<String> = errors.map(|(name, errors)| row(name, &errors)).collect();
    let mut text = String::new();
    for row in &expected {
        writeln!(text, "{row}").unwrap();
    }
    assert_eq!(told, expected, "the rows should be:\n{text}");
}

/// Would catch a process that is fenced by its own put.
#[test]
fn a_claim_of_ours_is_read_and_another_ones_ends_it() {
    let ours = verdict(&fenced(SESSION), &ending());
    assert_eq!(ours, Verdict::Retry { hold: HoldAfter::Kept, awaits: Awaits::Pause });
    let followed = Ending { was_followed: true, may_come: true, has_begun: true, ..ending() };
    assert_eq!(verdict(&fenced("theirs"), &followed), Verdict::Stop);
}

/// Would catch two processes that hold one log, which then never ends.
#[test]
fn who_waits_for_another_process_holds_nothing() {
    let busy = FollowError::State(StateError::Busy { directory: PathBuf::new(), process: None });
    let successor = Ending { is_successor: true, ..ending() };
    let waits = Verdict::Retry { hold: HoldAfter::Released, awaits: Awaits::OtherProcess };
    assert_eq!(verdict(&busy, &successor), waits);
    assert_eq!(verdict(&busy, &ending()), Verdict::Stop);
    let before = Ending { has_begun: true, ..ending() };
    assert!(matches!(verdict(&busy, &before), Verdict::Retry { hold: HoldAfter::Kept, .. }));
}

/// Would catch a database that is waited for although nobody said that it will come, or one that is not.
#[test]
fn a_database_is_waited_for_where_it_was_or_will_be() {
    let journal = refused(Refusal::RollbackJournal);
    let waits = Verdict::Retry { hold: HoldAfter::Released, awaits: Awaits::Database };
    assert_eq!(verdict(&journal, &ending()), Verdict::Stop);
    assert_eq!(verdict(&journal, &Ending { may_come: true, ..ending() }), waits);
    assert_eq!(verdict(&journal, &Ending { was_followed: true, ..ending() }), waits);
}
