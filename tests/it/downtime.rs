//! The application writes while nobody follows it. Whatever became of its log meanwhile, the next start brings the replica
//! to the state of the database, and says so in the history. Would catch stale rows that are restored with exit code 0.

use std::path::Path;

use ebbtide_catalog::Target;
use ebbtide_replica::EntryKind;
use ebbtide_testkit::oracle::{self, Image};
use rusqlite::Connection;

use crate::support::{Replica, Sidecar};

fn open(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, b)").unwrap();
    connection
}

fn insert(connection: &Connection, rows: u32) {
    for _ in 0..rows {
        connection.execute("INSERT INTO t (b) VALUES (randomblob(700))", []).unwrap();
    }
}

fn checkpoint(connection: &Connection, mode: &str) {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&sql, [], |_| Ok(())).unwrap();
}

/// What the application does while nobody follows.
type Away = fn(Connection, &Path) -> Connection;

/// Follows, stops or kills, lets `away` happen, follows again; the history must end in the database's state.
fn survive(what: &str, away: Away, kill: bool, gap_expected: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (database, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    let replica = replica.to_str().unwrap();
    let application = open(&database);
    insert(&application, 300);
    let sidecar = Sidecar::start(&database, replica);
    insert(&application, 20);
    if kill {
        sidecar.kill();
    } else {
        assert_eq!(sidecar.stop(), 0, "{what}");
    }
    let application = away(application, &database);
    let sidecar = Sidecar::start(&database, replica);
    insert(&application, 5);
    assert_eq!(sidecar.stop(), 0, "{what}");
    let expected = Image::of(&oracle::committed(&database).unwrap());
    let replica = Replica::open(replica);
    let (_, restored) = replica.restore(Target::Latest, folder.path());
    assert_eq!(restored, expected, "{what}");
    let gap = |entry: &ebbtide_replica::Entry| ebbtide_catalog::missed_since(entry).is_some();
    let gaps = replica.entries().iter().filter(|&entry| gap(entry)).count();
    assert_eq!(gaps > 0, gap_expected, "{what}: {gaps} gaps");
    replica.states(folder.path());
}

#[test]
fn a_log_that_only_grew_is_carried_on_with_transaction_by_transaction() {
    let grew: Away = |application, _| {
        insert(&application, 30);
        application
    };
    survive("stopped, and the log grew", grew, false, false);
    survive("killed, and the log grew", grew, true, false);
}

#[test]
fn a_log_that_was_restarted_is_a_gap_and_the_state_is_exact() {
    let restarted: Away = |application, _| {
        for _ in 0..3 {
            insert(&application, 40);
            checkpoint(&application, "TRUNCATE");
        }
        insert(&application, 7);
        application
    };
    survive("stopped, and the log was restarted", restarted, false, true);
    survive("killed, and the log was restarted", restarted, true, true);
}

#[test]
fn a_log_that_was_deleted_by_the_last_to_close_is_a_gap_and_the_state_is_exact() {
    let reopened: Away = |application, database| {
        insert(&application, 40);
        application.execute_batch("DELETE FROM t WHERE id % 3 = 0; VACUUM").unwrap();
        drop(application);
        let application = open(database);
        insert(&application, 1);
        application
    };
    survive("stopped, and everybody closed", reopened, false, true);
    survive("killed, and everybody closed", reopened, true, true);
}

/// Somebody copies another database over the file, without SQLite: nothing of the old one may stay in what is restored.
#[test]
fn a12_a_file_that_was_overwritten_in_place_is_a_gap_and_the_state_is_exact() {
    let overwritten: Away = |application, database| {
        drop(application);
        let other = database.with_file_name("other.db");
        insert(&open(&other), 170);
        // The same file with other bytes in it, as `cp` leaves it.
        std::fs::copy(&other, database).unwrap();
        open(database)
    };
    survive("stopped, and the file was overwritten", overwritten, false, true);
    survive("killed, and the file was overwritten", overwritten, true, true);
}

/// VACUUM outside WAL mode changes the page size, for which a replica has one number.
#[test]
fn a18_another_page_size_is_refused_and_the_history_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (database, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    let replica = replica.to_str().unwrap();
    let application = open(&database);
    insert(&application, 100);
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    let before = Replica::open(replica).entries();
    let changed =
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = WAL";
    application.execute_batch(changed).unwrap();
    let size: u32 = application.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    assert_eq!(size, 8192);
    let (code, said) = Sidecar::spawn(&database, replica).end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("pages of 4096 bytes and the database of 8192"), "{said}");
    assert_eq!(Replica::open(replica).entries(), before);
    // As it says: a replica of its own.
    let other = folder.path().join("other");
    assert_eq!(Sidecar::start(&database, other.to_str().unwrap()).stop(), 0);
    Replica::open(other.to_str().unwrap()).assert_ends_with(&database, folder.path());
}

#[test]
fn nothing_is_sent_when_nothing_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (database, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    let replica = replica.to_str().unwrap();
    insert(&open(&database), 300);
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    // Nobody has it open now, so the log is gone, and only the pages themselves can prove that nothing changed.
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    let entries = Replica::open(replica).entries();
    let kinds: Vec<EntryKind> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Claim, EntryKind::Resync, EntryKind::Claim]);
}

#[test]
fn a_restored_database_carries_on_without_being_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (database, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    let replica = replica.to_str().unwrap();
    insert(&open(&database), 300);
    assert_eq!(Sidecar::start(&database, replica).stop(), 0);
    let restored = folder.path().join("restored.db");
    let ended = crate::support::ebbtide(&["restore", "-o", restored.to_str().unwrap(), replica]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let sidecar = Sidecar::start(&restored, replica);
    insert(&open(&restored), 3);
    assert_eq!(sidecar.stop(), 0);
    let pages: u32 = Replica::open(replica).entries().iter().map(|entry| entry.page_count).sum();
    assert!(pages < 30, "{pages} pages were sent for three rows");
}
