//! The application writes while nobody follows it. Whatever became of its log meanwhile, the next start brings the replica
//! to the state of the database, and says so in the history. Would catch stale rows that are restored with exit code 0.

use std::path::Path;

use ebbtide_replica::EntryKind;

use crate::support::{App, History, Setup};

/// What the application does while nobody follows.
type Away = fn(App, &Path) -> App;

/// Follows, stops or kills, lets `away` happen, follows again; the history must end in the database's state.
fn survive(what: &str, away: Away, kill: bool, gap_expected: bool) {
    let (setup, app) = Setup::with_rows(300);
    let sidecar = setup.follow();
    app.insert(20, 700);
    if kill {
        sidecar.kill();
    } else {
        assert_eq!(sidecar.stop(), 0, "{what}");
    }
    let app = away(app, &setup.database);
    let sidecar = setup.follow();
    app.insert(5, 700);
    setup.assert_exact_after(sidecar);
    let history = setup.history();
    let gaps = history.counts().gaps;
    assert_eq!(gaps > 0, gap_expected, "{what}: {gaps} gaps");
    history.states(setup.directory.path());
}

#[test]
fn a_log_that_only_grew_is_carried_on_with_transaction_by_transaction() {
    let grew: Away = |application, _| {
        application.insert(30, 700);
        application
    };
    survive("stopped, and the log grew", grew, false, false);
    survive("killed, and the log grew", grew, true, false);
}

#[test]
fn a_log_that_was_restarted_is_a_gap_and_the_state_is_exact() {
    let restarted: Away = |application, _| {
        for _ in 0..3 {
            application.insert(40, 700);
            application.checkpoint("TRUNCATE");
        }
        application.insert(7, 700);
        application
    };
    survive("stopped, and the log was restarted", restarted, false, true);
    survive("killed, and the log was restarted", restarted, true, true);
}

#[test]
fn a_log_that_was_deleted_by_the_last_to_close_is_a_gap_and_the_state_is_exact() {
    let reopened: Away = |application, database| {
        application.insert(40, 700);
        application.execute_batch("DELETE FROM t WHERE id % 3 = 0; VACUUM").unwrap();
        drop(application);
        let application = App::open(database);
        application.insert(1, 700);
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
        App::open(&other).insert(170, 700);
        // The same file with other bytes in it, as `cp` leaves it.
        std::fs::copy(&other, database).unwrap();
        App::open(database)
    };
    survive("stopped, and the file was overwritten", overwritten, false, true);
    survive("killed, and the file was overwritten", overwritten, true, true);
}

/// VACUUM outside WAL mode changes the page size, for which a replica has one number.
#[test]
fn a18_another_page_size_is_refused_and_the_history_stays() {
    let (setup, app) = Setup::with_rows(100);
    assert_eq!(setup.follow().stop(), 0);
    let before = setup.history().entries();
    let changed =
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = WAL";
    app.execute_batch(changed).unwrap();
    let size: u32 = app.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    assert_eq!(size, 8192);
    let (code, said) = setup.spawn().end();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("pages of 4096 bytes and the database of 8192"), "{said}");
    assert!(said.contains("under another address"), "{said}");
    assert_eq!(setup.history().entries(), before);
    // As it says: a replica of its own.
    assert_eq!(setup.follow_other("app.db", "other").stop(), 0);
    History::open(&setup.text("other")).assert_ends_with(&setup.database, setup.directory.path());
}

#[test]
fn nothing_is_sent_when_nothing_was_written() {
    let (setup, app) = Setup::with_rows(300);
    drop(app);
    assert_eq!(setup.follow().stop(), 0);
    // Nobody has it open now, so the log is gone, and only the pages themselves can prove that nothing changed.
    assert_eq!(setup.follow().stop(), 0);
    let entries = setup.history().entries();
    let kinds: Vec<EntryKind> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Claim, EntryKind::Resync, EntryKind::Claim]);
}

#[test]
fn a_restored_database_carries_on_without_being_sent_again() {
    let (setup, app) = Setup::with_rows(300);
    drop(app);
    assert_eq!(setup.follow().stop(), 0);
    setup.restore(&["-o", &setup.text("restored.db")]).exits(0);
    let sidecar = setup.follow_other("restored.db", "backup");
    setup.other_app("restored.db").insert(3, 700);
    assert_eq!(sidecar.stop(), 0);
    let pages: u32 = setup.history().entries().iter().map(|entry| entry.page_count).sum();
    assert!(pages < 30, "{pages} pages were sent for three rows");
}
