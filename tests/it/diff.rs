//! `ebbtide diff` of two files: what it prints, its exit codes, and that it leaves no trace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Ended, Setup, command, ebbtide};

/// Two databases in a directory of their own.
struct Pair {
    directory: TempDir,
}

impl Pair {
    fn new(old: &str, new: &str) -> Pair {
        let pair = Pair { directory: tempfile::tempdir().unwrap() };
        pair.open("old.db").execute_batch(old).unwrap();
        fs::copy(pair.path("old.db"), pair.path("new.db")).unwrap();
        pair.open("new.db").execute_batch(new).unwrap();
        pair
    }

    fn orders() -> Pair {
        Pair::new(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT COLLATE NOCASE, total REAL);
             CREATE TABLE same (x); INSERT INTO same VALUES (1);
             INSERT INTO orders VALUES (41, 'paid', 19.99), (42, 'paid', 5), (43, 'open', 7)",
            "UPDATE orders SET status = 'PAID' WHERE id = 42; DELETE FROM orders WHERE id = 43;
             INSERT INTO orders VALUES (44, 'a' || char(27) || '[8m', 12.5); CREATE INDEX by_status ON orders (status)",
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, name: &str) -> Connection {
        Connection::open(self.path(name)).unwrap()
    }

    fn diff(&self, args: &[&str]) -> Ended {
        let (old, new) = (self.path("old.db"), self.path("new.db"));
        let sides = [old.to_str().unwrap(), new.to_str().unwrap()];
        ebbtide(&[&["diff"], args, &sides].concat())
    }
}

#[test]
fn a_difference_is_counted_shown_and_said_by_the_exit_code() {
    let pair = Pair::orders();
    let out = pair.diff(&[]).exits(0).out;
    assert_eq!(out, "schema: index by_status created (on orders)\norders  +1  -1  ~1\n");
    let out = pair.diff(&["--format", "rows"]).exits(0).out;
    let rows = "orders\n~ id=42  status: 'paid' -> 'PAID'\n- id=43  status='open'  total=7.0\n+ id=44  status='a\\u{1b}[8m'  total=12.5\n";
    assert!(out.ends_with(rows), "{out}");
    let lines = pair.diff(&["--json"]).exits(0).json_lines();
    let what: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["schema", "row", "row", "row", "table", "summary"]);
    assert_eq!(lines[1]["old"].to_string(), r#"{"status":"paid"}"#);
    assert_eq!(lines[5]["equal"], false);
    pair.diff(&["--exit-code"]).exits(6);
    pair.diff(&["--exit-code", "--table", "same"]).exits(0);
    assert_eq!(pair.diff(&["--table", "same"]).out, "no differences\n");
    pair.diff(&["--table", "none"]).exits(2).says("there is no table none");
}

#[test]
fn a_script_and_a_changeset_are_exact() {
    let pair = Pair::orders();
    let script = pair.diff(&["--format", "sql"]).exits(0).out;
    let copy = pair.path("copy.db");
    fs::copy(pair.path("old.db"), &copy).unwrap();
    Connection::open(&copy).unwrap().execute_batch(&script).unwrap();
    let new = pair.path("new.db");
    let sides = [copy.to_str().unwrap(), new.to_str().unwrap()];
    ebbtide(&[&["diff", "--exit-code"], &sides[..]].concat()).exits(0);
    let mut changeset = command(&["diff", "--format", "changeset", "--strict"]);
    let output = changeset.args([pair.path("old.db"), pair.path("new.db")]).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "the index is not in it");
    assert!(output.stdout.starts_with(b"T\x03\x01\0\0orders\0"), "{:?}", output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not in the changeset: index by_status: it was created"), "{said}");
}

#[test]
fn what_is_no_database_is_an_error_that_names_it() {
    let pair = Pair::orders();
    fs::write(pair.path("new.db"), "no database, but long enough to be read as one, almost")
        .unwrap();
    pair.diff(&[]).exits(1).says("new.db");
    fs::remove_file(pair.path("new.db")).unwrap();
    pair.diff(&[]).exits(1).says("new.db");
    ebbtide(&["diff"]).exits(2);
}

#[test]
fn what_is_not_compared_is_named_and_counts_if_asked_to() {
    let pair = Pair::new(
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, body); CREATE VIRTUAL TABLE i USING fts5 (body, content = 'docs')",
        "INSERT INTO docs VALUES (1, 'word'); INSERT INTO i (rowid, body) VALUES (1, 'word')",
    );
    let out = pair.diff(&[]).exits(0).out;
    assert_eq!(out, "docs  +1\nnot compared: i: an index over the rows of docs\n");
    pair.diff(&["--strict"]).exits(6).says("1 are left out");
}

/// Every file of a directory with its bytes.
fn all(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Catches a comparison that leaves a `-shm` behind, or misses what is only in a log.
#[test]
fn t06_databases_in_wal_mode_are_compared_without_a_trace() {
    let wal = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;";
    let pair = Pair::new(&format!("{wal} CREATE TABLE t (a); INSERT INTO t VALUES (1)"), "");
    let before = all(pair.directory.path());
    assert_eq!(before.len(), 2);
    assert_eq!(pair.diff(&[]).exits(0).out, "no differences\n");
    assert!(all(pair.directory.path()) == before);
    let application = pair.open("new.db");
    application.execute_batch(&format!("{wal} INSERT INTO t VALUES (2)")).unwrap();
    let before: Vec<PathBuf> = all(pair.directory.path()).into_keys().collect();
    assert_eq!(pair.diff(&[]).exits(0).out, "t  +1\n");
    assert!(all(pair.directory.path()).into_keys().eq(before));
    // The log is still the application's: another row is seen by the next comparison.
    application.execute("INSERT INTO t VALUES (3)", []).unwrap();
    assert_eq!(pair.diff(&[]).exits(0).out, "t  +2\n");
}

/// Catches an undo that overwrites what came later, or that is not all or nothing.
#[test]
fn t14_an_undo_gives_rows_back_and_names_what_was_changed_again() {
    let pair = Pair::orders();
    let (old, new) = (pair.path("old.db"), pair.path("new.db"));
    let sides = [old.to_str().unwrap(), new.to_str().unwrap()];
    let undo = |args: &[&str]| ebbtide(&[&["undo", "--drop"], args, &sides].concat());
    let live = pair.path("live.db");
    fs::copy(&new, &live).unwrap();
    let live = live.to_str().unwrap();
    let later = Connection::open(live).unwrap();
    later
        .execute_batch(
            "PRAGMA journal_mode = WAL; UPDATE orders SET status = 'refunded' WHERE id = 42",
        )
        .unwrap();
    let ended = undo(&["--apply", live]).exits(6);
    ended.says("nothing was changed, because of 1 conflict");
    assert_eq!(
        ended.out,
        "conflict orders id = 42: changed since; now status = 'refunded'; it was left with status = 'PAID'\n"
    );
    let json = undo(&["--apply", live, "--json"]).exits(6).json();
    assert_eq!(json["undone"], false);
    assert_eq!(
        undo(&["--apply", live, "--skip-conflicts"]).exits(6).out.lines().last(),
        Some("undone: 2 rows")
    );
    let status = |id: i64| -> Option<String> {
        let sql = "SELECT status FROM orders WHERE id = ?1";
        later.query_row(sql, [id], |row| row.get(0)).ok()
    };
    assert_eq!(
        (status(42).as_deref(), status(43).as_deref(), status(44)),
        (Some("refunded"), Some("open"), None)
    );
    // The log is the application's, and nothing of it was copied.
    drop(later);
    let script = undo(&[]).exits(0).out;
    let copy = pair.path("copy.db");
    fs::copy(&new, &copy).unwrap();
    Connection::open(&copy).unwrap().execute_batch(&script).unwrap();
    let copies = [copy.to_str().unwrap(), old.to_str().unwrap()];
    ebbtide(&[&["diff", "--exit-code"], &copies[..]].concat()).exits(0);
}

/// T19: a last close that copies the log into the database costs the history a gap.
#[test]
fn t19_an_undo_leaves_the_log_as_it_is() {
    let pair = Pair::orders();
    let live = pair.path("live.db");
    fs::copy(pair.path("new.db"), &live).unwrap();
    let application = Connection::open(&live).unwrap();
    application
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE more (x)",
        )
        .unwrap();
    // As a crash leaves it: a log, and nobody who has it open.
    let crashed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("live.db{suffix}");
        fs::copy(pair.path(&name), crashed.path().join(&name)).unwrap();
    }
    drop(application);
    let path = crashed.path().join("live.db");
    let (database, log) = (fs::read(&path).unwrap(), crashed.path().join("live.db-wal"));
    let before = fs::read(&log).unwrap();
    let (old, new) = (pair.path("old.db"), pair.path("new.db"));
    let args = [path.to_str().unwrap(), old.to_str().unwrap(), new.to_str().unwrap()];
    ebbtide(&[&["undo", "--drop", "--apply"], &args[..]].concat()).exits(0);
    assert!(fs::read(&path).unwrap() == database, "no checkpoint");
    assert!(fs::read(&log).unwrap().starts_with(&before), "the log goes on");
}

/// A history of single transactions, each of which is a txid of its own; the first and the last of them.
fn history(setup: &Setup) -> (u64, u64) {
    let app = setup.app();
    app.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total REAL);
         CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
         CREATE TRIGGER noted AFTER DELETE ON orders BEGIN INSERT INTO log (what) VALUES ('deleted ' || old.id); END;
         INSERT INTO orders VALUES (41, 'paid', 19.99), (42, 'paid', 5), (43, 'open', 7)",
    )
    .unwrap();
    let sidecar = setup.follow();
    setup.sync();
    let first = setup.history().head().unwrap().get() + 1;
    for sql in [
        "INSERT INTO orders VALUES (44, 'open', 1)",
        "UPDATE orders SET status = 'late' WHERE status = 'open'",
        "DELETE FROM orders WHERE total > 6",
        "BEGIN; UPDATE orders SET total = total + 0.1; INSERT INTO orders VALUES (45, NULL, NULL); COMMIT",
        "UPDATE orders SET status = 'refunded' WHERE id = 42",
    ] {
        app.execute_batch(sql).unwrap();
        setup.sync();
    }
    let last = setup.history().head().unwrap().get();
    drop(sidecar);
    (first, last)
}

#[test]
fn what_a_transaction_did_is_shown_and_taken_back_from_the_replica() {
    let setup = Setup::new();
    let (first, last) = history(&setup);
    assert_eq!(last - first, 4, "each is an entry of its own");
    let deletion = format!("{:x}", first + 2);
    let of = |args: &[&str]| setup.run(&[args, &["--txid", &deletion, &setup.replica]].concat());
    let ended = of(&["diff"]).exits(0);
    assert_eq!(ended.out, "orders  -2\nlog     +2\n");
    ended.says(&format!("to txid {:016x}", first + 2)).says("compared by the");
    let full = of(&["diff", "--full"]).exits(0);
    full.says("compared in full: as it was asked for");
    assert_eq!(full.out, ended.out);
    let lines = of(&["diff", "--json", "--prove"]).exits(0).json_lines();
    assert_eq!((&lines[0]["what"], &lines[0]["proof"]), (&"states".into(), &"page".into()));
    assert_eq!(
        (&lines[0]["compared"], &lines[0]["why_full"]),
        (&"narrow".into(), &serde_json::Value::Null)
    );
    let whole = format!("{:x}", first - 1);
    let range = ["diff", "--from", &format!("txid:{whole}"), &setup.replica];
    let out = setup.run(&range).exits(0).out;
    assert_eq!(out, "orders  +2  -2  ~1\nlog     +2\n");
    // Each transaction, in the state that it left.
    for txid in first..=last {
        let (at, before) = (setup.text("at.db"), setup.text("before.db"));
        for (path, txid) in [(&at, txid), (&before, txid - 1)] {
            setup.restore(&["--force", "-o", path, "--txid", &format!("{txid:x}")]).exits(0);
        }
        let txid = format!("{txid:x}");
        setup.run(&["undo", "--txid", &txid, "--apply", &at, &setup.replica]).exits(0);
        setup.run(&["diff", "--exit-code", &at, &before]).exits(0);
    }
    // And the deletion in the live database, which has gone on.
    let live = setup.database.to_str().unwrap();
    let out = of(&["undo", "--table", "orders", "--apply", live]).exits(0).out;
    assert_eq!(out, "undone: 2 rows\n");
    let count = |sql: &str| -> i64 { setup.app().query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM orders"), 5);
    assert_eq!(count("SELECT count(*) FROM log"), 2, "the trigger's rows were not asked for");
    let again = of(&["undo", "--table", "orders", "--apply", live]).exits(6);
    again.prints("conflict orders id = 41: inserted since");
}

#[test]
fn states_that_are_not_there_and_gaps_are_told() {
    let setup = Setup::new();
    let (first, _) = history(&setup);
    setup.run(&["diff", "--txid", "ffff", &setup.replica]).exits(3);
    setup.run(&["diff", "--txid", "1", &setup.replica]).exits(3);
    setup.run(&["diff", &setup.replica]).exits(2).says("which two states");
    setup.run(&["diff", "--txid", "2", "a.db", "b.db"]).exits(2);
    // Nobody followed these.
    setup.app().execute_batch("DELETE FROM orders WHERE id = 42").unwrap();
    setup.once().exits(0);
    let from = format!("txid:{first:x}");
    let range = ["--from", &from, &setup.replica];
    setup.run(&[&["diff"], &range[..]].concat()).exits(0).says("not single transactions");
    setup.run(&[&["undo"], &range[..]].concat()).exits(6).says("--across-gap");
    setup.run(&[&["undo", "--across-gap"], &range[..]].concat()).exits(0);
}

#[test]
fn t14_a_conflict_names_the_later_transaction_and_each_policy_does_as_it_says() {
    let setup = Setup::new();
    let (first, _) = history(&setup);
    let live = setup.database.to_str().unwrap();
    let undo = |txid: u64, args: &[&str]| {
        let txid = format!("{txid:x}");
        setup.run(&[&["undo", "--txid", &txid, "--apply", live], args, &[&setup.replica]].concat())
    };
    let orders = || -> String {
        let sql = "SELECT group_concat(id || ' ' || ifnull(status, 'none')) FROM (SELECT * FROM orders ORDER BY id)";
        setup.app().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = orders();
    assert_eq!(before, "42 refunded,44 late,45 none");
    // What was inserted first was changed twice, last by the fourth.
    let strict = undo(first, &[]).exits(6);
    strict.prints("conflict orders id = 44: changed since");
    strict.prints(&format!("; by txid {:016x} of ", first + 3));
    let lines = undo(first, &["--json"]).exits(6).json_lines();
    assert_eq!(lines[0]["conflicts"][0]["changed_by"]["txid"], format!("{:016x}", first + 3));
    // Of the two rows that became late one was deleted by the third.
    let strict = undo(first + 1, &[]).exits(6);
    strict.prints("conflict orders id = 43: deleted since");
    strict.prints(&format!("; by txid {:016x} of ", first + 2));
    assert_eq!(orders(), before, "nothing is changed");
    undo(first + 1, &["--skip-conflicts"]).exits(6).prints("undone: 1 rows");
    assert_eq!(orders(), "42 refunded,44 open,45 none");
    undo(first, &["--overwrite"]).exits(0).prints("undone: 1 rows");
    assert_eq!(orders(), "42 refunded,45 none");
}

#[test]
fn the_log_says_which_tables_each_commit_changed_and_by_how_many_rows() {
    let setup = Setup::new();
    let (first, last) = history(&setup);
    let from = format!("txid:{first:x}");
    let changed = |args: &[&str]| {
        let lines =
            setup.run(&[&["log", "--json", "--from", &from], args, &[&setup.replica]].concat());
        let lines = lines.exits(0).json_lines();
        let commits = lines.into_iter().filter(|line| line["what"] == "commit");
        let text = |line: serde_json::Value| {
            let tables = line["changed"]["tables"].as_array().unwrap().iter().map(|table| {
                format!(
                    "{} {}/{}/{}",
                    table["table"].as_str().unwrap(),
                    table["inserted"],
                    table["deleted"],
                    table["updated"]
                )
            });
            tables.collect::<Vec<_>>().join(" ")
        };
        commits.map(text).collect::<Vec<String>>()
    };
    let expected =
        ["orders 1/0/0", "orders 0/0/2", "orders 0/2/0 log 2/0/0", "orders 1/0/2", "orders 0/0/1"];
    assert_eq!(last - first, 4);
    assert_eq!(changed(&["--tables"]), expected);
    assert_eq!(changed(&["--tables"]), expected, "as it was kept");
    assert_eq!(changed(&["--changed", "LOG"]), [expected[2]]);
    let text = setup.run(&["log", "--tables", &setup.replica]).exits(0).out.clone();
    assert!(text.contains("                  orders -2, log +2\n"), "{text}");
}

/// What is not shown is not counted either: a history of a year has a million entries.
#[test]
fn of_the_newest_entries_alone_the_rows_are_counted() {
    let setup = Setup::new();
    let (_, last) = history(&setup);
    let cache = setup.path("cache");
    let mut command = setup.command(&["log", "--tables", "-n", "2", &setup.replica]);
    let shown = Ended::of(command.env("XDG_CACHE_HOME", &cache)).exits(0);
    shown.prints("                  orders ~1\n").prints("                  orders +1 ~2\n");
    let kept = fs::read_dir(cache.join("ebbtide/tables")).unwrap().next().unwrap().unwrap();
    let kept = fs::read_to_string(kept.path()).unwrap();
    assert_eq!(kept.lines().count(), 2, "{kept}");
    assert!(kept.contains(&format!("{last:016x}")), "{kept}");
}
