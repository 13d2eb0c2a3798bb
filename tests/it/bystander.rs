//! The third promise: the application does not notice.

use std::time::Duration;

use rusqlite::Connection;

use crate::support::{Setup, image, wait_until};

/// The schema and every row, as text.
fn dump(database: &Connection) -> Vec<String> {
    let all = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema
               UNION ALL SELECT id || ' ' || quote(b) FROM t ORDER BY 1";
    let mut query = database.prepare(all).unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn the_database_has_the_same_schema_and_content_with_and_without_the_sidecar() {
    let [without, with] = [false, true].map(|is_followed| {
        let setup = Setup::new();
        let app = setup.app();
        let sidecar = is_followed.then(|| setup.follow());
        for id in 0..500 {
            app.execute("INSERT INTO t VALUES (?1, zeroblob(?1))", [id]).unwrap();
        }
        if let Some(sidecar) = sidecar {
            assert_eq!(sidecar.stop(), 0);
        }
        dump(&app)
    });
    assert_eq!(without, with);
}

/// The bound is a promise, and writers keep it: they are stopped for a checkpoint when the log is over it.
#[test]
fn the_log_stays_bounded_beside_a_writer_that_never_pauses() {
    let setup = Setup::new();
    let app = setup.app();
    app.pragma_update(None, "synchronous", "NORMAL").unwrap();
    let sidecar = setup.follow();
    let log = setup.path("app.db-wal");
    let mut longest = 0;
    for commit in 0..40_000 {
        app.execute("INSERT INTO t (b) VALUES (zeroblob(200))", []).unwrap();
        if commit % 1000 == 0 {
            longest = longest.max(log.metadata().unwrap().len());
        }
    }
    assert!(longest <= 64 << 20, "the log grew to {longest} bytes");
    // Idle now: the file shrinks, too.
    wait_until("the log to be cut", || log.metadata().unwrap().len() < 9 << 20);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn an_application_that_ends_its_log_is_let_to() {
    let setup = Setup::new();
    let app = setup.app();
    let sidecar = setup.follow();
    app.busy_timeout(Duration::from_millis(100)).unwrap();
    for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        app.insert(1, 8);
        // Busy or not, it is an answer and no error, and nothing is lost by it.
        app.checkpoint(mode);
    }
    assert_eq!(sidecar.stop(), 0);
    assert!(image(&setup.database).bytes > 0);
}
