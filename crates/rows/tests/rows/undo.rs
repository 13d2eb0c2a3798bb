//! Undo after do is nothing, also by a script in Debian's shell; and what came later is a conflict, exactly there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use ebbtide_rows::{Applied, Options, Policy, Undo, diff};
use rusqlite::Connection;

use crate::random::{Random, act, create, seeds};
use crate::scripts::CASES;
use crate::support::{assert_same, contents, copy, database, has, save, side};

/// The way back from `after` to `before`.
fn undo(before: &Connection, after: &Connection, policy: Policy, drops_created: bool) -> Undo {
    let mut undo = Undo::new(policy, drops_created);
    let options = Options::default();
    diff(side(after), side(before), &options, &mut undo).unwrap();
    undo
}

fn strict(before: &Connection, after: &Connection) -> Undo {
    undo(before, after, Policy::Strict, true)
}

fn text(undo: &mut Undo) -> String {
    let mut script = Vec::new();
    undo.print(&mut script, "undo of a test").unwrap();
    String::from_utf8(script).unwrap()
}

fn shell(path: &Path, script: &str) -> Output {
    let file = path.with_extension("sql");
    std::fs::write(&file, script).unwrap();
    let mut shell = Command::new("sqlite3");
    shell.arg(path).stdin(std::fs::File::open(file).unwrap());
    shell.output().unwrap()
}

/// Without what SQLite keeps by itself: a number that was given out stays given out.
fn assert_undone(left: &Connection, right: &Connection, said: &str) {
    let of = |connection| {
        let mut all = contents(connection);
        all.remove("sqlite_sequence");
        all
    };
    if of(left) != of(right) {
        assert_same(left, right, said);
    }
}

#[test]
fn t15_undo_after_do_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut undone = 0;
    for (said, begin, then) in CASES {
        let mut before = database(begin);
        let mut after = copy(&mut before);
        after.execute_batch(then).unwrap();
        let mut steps = strict(&before, &after);
        let live = copy(&mut after);
        live.pragma_update(None, "foreign_keys", true).unwrap();
        let applied = steps.apply(&live).unwrap_or_else(|error| panic!("{said}: {error:?}"));
        assert!(applied.is_done && applied.conflicts.is_empty(), "{said}: {applied:?}");
        assert!(
            live.pragma_query_value(None, "foreign_keys", |row| row.get::<_, bool>(0)).unwrap()
        );
        let script = text(&mut steps);
        if has("sqlite3") {
            save(&mut after, &path);
            let output = shell(&path, &script);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.is_empty() && output.stdout.is_empty(), "{said}: {errors}\n{script}");
            assert_undone(&Connection::open(&path).unwrap(), &live, said);
        }
        if steps.refused().is_empty() {
            undone += 1;
            assert_undone(&live, &before, &format!("{said}\n{script}"));
        }
    }
    assert!(undone >= 9, "{undone}");
}

/// T17: the columns' later values would be lost without a word.
#[test]
fn t17_a_table_that_was_altered_is_refused_by_name() {
    let mut before = database(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE u (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 1)",
    );
    let mut after = copy(&mut before);
    after
        .execute_batch("ALTER TABLE t ADD COLUMN c; UPDATE t SET c = 5; INSERT INTO u VALUES (1, 2); CREATE TABLE n (x); CREATE INDEX i ON u (a)")
        .unwrap();
    let mut steps = undo(&before, &after, Policy::Strict, false);
    let refused: Vec<&str> = steps.refused().iter().map(|refusal| refusal.what.as_str()).collect();
    assert_eq!(refused, ["table t", "table n", "index i"]);
    let live = copy(&mut after);
    assert!(steps.apply(&live).unwrap().is_done);
    let count = |sql: &str| live.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("SELECT c FROM t"), count("SELECT count(*) FROM u")), (5, 0));
}

#[test]
fn t12_rows_without_a_key_are_not_undone_after_a_vacuum() {
    let mut before = database(
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2), (3, 4), (5, 6); DELETE FROM t WHERE a = 1",
    );
    let after = copy(&mut before);
    after.execute_batch("DELETE FROM t WHERE a = 3; INSERT INTO t VALUES (7, 8); VACUUM").unwrap();
    let steps = strict(&before, &after);
    assert_eq!(steps.refused()[0].what, "table t");
    assert_eq!(steps.rows(), 0);
}

/// SQLite takes two thousand columns, and no expression that is as deep.
#[test]
fn a_row_of_the_widest_table_is_given_back() {
    let all = |each: fn(u32) -> String| (0..1999).map(each).collect::<Vec<_>>().join(", ");
    let (names, values) = (all(|at| format!("c{at}")), all(|at| at.to_string()));
    let mut before = database(&format!("CREATE TABLE w (id INTEGER PRIMARY KEY, {names})"));
    before.execute_batch(&format!("INSERT INTO w VALUES (1, {values}), (2, {values})")).unwrap();
    for then in [
        "DELETE FROM w WHERE id = 1",
        "UPDATE w SET c3 = 'x', c1998 = NULL",
        &format!("INSERT INTO w VALUES (3, {values})"),
        "UPDATE w SET id = 7 WHERE id = 2",
    ] {
        let mut after = copy(&mut before);
        after.execute_batch(then).unwrap();
        for policy in [Policy::Strict, Policy::Skip, Policy::Overwrite] {
            let live = copy(&mut after);
            let mut steps = undo(&before, &after, policy, true);
            let applied = steps.apply(&live).unwrap_or_else(|error| panic!("{then}: {error:?}"));
            assert!(applied.is_done && applied.conflicts.is_empty(), "{then}: {applied:?}");
            assert_undone(&live, &before, then);
        }
    }
}

/// SQLite takes any bytes for a text.
#[test]
fn a_conflict_over_a_text_that_is_not_utf8_is_told() {
    let mut before = database(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    let mut after = copy(&mut before);
    after.execute_batch("UPDATE t SET a = a || '!'").unwrap();
    for (policy, changed) in [(Policy::Strict, 0), (Policy::Skip, 1), (Policy::Overwrite, 2)] {
        let live = copy(&mut after);
        live.execute_batch("UPDATE t SET a = CAST(x'4dfc6c6c6572' AS TEXT) WHERE id = 1").unwrap();
        let applied = undo(&before, &after, policy, true).apply(&live).unwrap();
        let told: Vec<_> = applied.conflicts.iter().map(|one| one.now.as_deref()).collect();
        match policy {
            Policy::Overwrite => assert!(told.is_empty(), "{told:?}"),
            _ => assert_eq!(told, [Some("a = 'M\u{fffd}ller'")]),
        }
        let count = "SELECT count(*) FROM t WHERE a IN ('a', 'b')";
        let count = live.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(count, changed, "{policy:?}");
    }
}

/// Only SQLite knows what is unique in an index over an expression, or over some rows.
#[test]
fn a_row_that_any_unique_index_forbids_is_a_conflict() {
    for index in ["mail", "lower(mail)", "mail) WHERE (gone = 0"] {
        let mut before = database(&format!(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT, gone DEFAULT 0); CREATE UNIQUE INDEX u ON users ({index});
             INSERT INTO users (id, mail) VALUES (1, 'ada@x'), (3, 'ben@x'), (5, 'eve@x')"
        ));
        for then in ["DELETE FROM users WHERE id < 4", "UPDATE users SET mail = id WHERE id < 4"] {
            let mut after = copy(&mut before);
            after.execute_batch(then).unwrap();
            after.execute_batch("INSERT INTO users (id, mail) VALUES (2, 'ada@x')").unwrap();
            let known = copy(&mut before);
            known.execute_batch(then).unwrap();
            let ids = |live: &Connection| {
                let sql =
                    "SELECT group_concat(id || ':' || mail) FROM (SELECT * FROM users ORDER BY id)";
                live.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
            };
            for policy in [Policy::Strict, Policy::Skip, Policy::Overwrite] {
                let live = copy(&mut after);
                let applied = undo(&before, &known, policy, true).apply(&live).unwrap();
                let said = format!("{index}, {then}, {policy:?}: {applied:?}, {}", ids(&live));
                match policy {
                    Policy::Strict => {
                        assert!(!applied.is_done && applied.conflicts_total == 1, "{said}");
                        assert_eq!(ids(&live), ids(&after), "{said}");
                    }
                    Policy::Skip => {
                        assert!(applied.is_done && applied.conflicts_total == 1, "{said}");
                        assert!(
                            ids(&live).contains("2:ada@x") && ids(&live).contains("3:ben@x"),
                            "{said}"
                        );
                    }
                    Policy::Overwrite => {
                        assert!(applied.is_done, "{said}");
                        assert_eq!(ids(&live), "1:ada@x,3:ben@x,5:eve@x", "{said}");
                        // Where it can be known, the row that goes is named.
                        assert_eq!(applied.conflicts_total, 1, "{said}");
                        assert_eq!(applied.conflicts[0].now.is_some(), index == "mail", "{said}");
                    }
                }
            }
        }
    }
}

/// SQLite takes such a key, and refuses to check it.
#[test]
fn a_foreign_key_with_a_mistake_keeps_nothing_else_from_being_undone() {
    let mut before = database(
        "PRAGMA foreign_keys = 0; CREATE TABLE place (name TEXT, n UNIQUE); CREATE TABLE visit (id INTEGER PRIMARY KEY, place REFERENCES place (name));
         CREATE TABLE many (a, b REFERENCES place (n), c REFERENCES nowhere, d REFERENCES visit); CREATE INDEX i ON place (name);
         INSERT INTO place VALUES ('x', 1); INSERT INTO visit VALUES (1, 'x'), (2, 'x'); INSERT INTO many VALUES (1, 1, 7, 1)",
    );
    let mut after = copy(&mut before);
    after
        .execute_batch("PRAGMA foreign_keys = 0; DELETE FROM visit WHERE id = 2; INSERT INTO visit VALUES (3, 'y')")
        .unwrap();
    let live = copy(&mut after);
    assert!(strict(&before, &after).apply(&live).unwrap().is_done);
    assert_undone(&live, &before, "as it was");
    // The references that can be checked are.
    let live = copy(&mut after);
    live.execute_batch("PRAGMA foreign_keys = 0; INSERT INTO many VALUES (2, 1, NULL, 3)").unwrap();
    let applied = strict(&before, &after).apply(&live).unwrap();
    assert!(!applied.is_done, "{applied:?}");
    assert_eq!(applied.conflicts[0].what, "would refer to no row of visit");
}

/// It shows what another table has.
#[test]
fn a_virtual_table_without_rows_of_its_own_is_not_missed() {
    let mut before = database(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 'a'), (2, 'b');
         CREATE VIRTUAL TABLE f USING fts5 (x); INSERT INTO f VALUES ('one two'); CREATE VIRTUAL TABLE v USING fts5vocab (f, row)",
    );
    let mut after = copy(&mut before);
    after.execute_batch("DELETE FROM t WHERE id = 1; INSERT INTO f VALUES ('three')").unwrap();
    let mut steps = strict(&before, &after);
    assert_eq!(steps.refused(), []);
    let live = copy(&mut after);
    assert!(steps.apply(&live).unwrap().is_done);
    let count = "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM f)";
    assert_eq!(live.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
}

#[test]
fn a_number_of_the_database_is_not_undone_and_that_is_said() {
    let mut before = database("CREATE TABLE t (id INTEGER PRIMARY KEY); PRAGMA user_version = 6");
    let after = copy(&mut before);
    after.execute_batch("PRAGMA user_version = 7; INSERT INTO t VALUES (1)").unwrap();
    let steps = strict(&before, &after);
    assert_eq!(steps.refused()[0].what, "user_version");
    assert!(steps.refused()[0].why.contains("`PRAGMA user_version = 6`"));
}

/// T16: a shell goes on after an error and commits; nothing is changed all the same.
#[test]
fn t16_a_script_with_a_conflict_changes_nothing_in_a_shell_that_goes_on() {
    if !has("sqlite3") {
        eprintln!("skipped, because there is no sqlite3");
        return;
    }
    let mut before = database(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, u UNIQUE); INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
         CREATE UNIQUE INDEX i ON t (abs(a)) WHERE typeof(a) = 'integer';
         CREATE TRIGGER g AFTER DELETE ON t BEGIN UPDATE t SET a = 'trigger'; END",
    );
    let mut after = copy(&mut before);
    after.execute_batch("UPDATE t SET a = 'x' WHERE id = 1; DROP TRIGGER g; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 'four', 4);
         CREATE TRIGGER g AFTER DELETE ON t BEGIN UPDATE t SET a = 'trigger'; END").unwrap();
    let script = text(&mut strict(&before, &after));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let later = [
        "UPDATE t SET a = 'later' WHERE id = 1",
        "INSERT INTO t VALUES (2, 'again', 9)",
        "INSERT INTO t VALUES (8, 'taken', 2)",
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET u = 44 WHERE id = 4",
        "ALTER TABLE t ADD COLUMN more",
        "DROP TRIGGER g",
        "CREATE TRIGGER h AFTER INSERT ON t BEGIN DELETE FROM t; END",
    ];
    for sql in later {
        save(&mut after, &path);
        let mut connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        let there = copy(&mut connection);
        drop(connection);
        let output = shell(&path, &script);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("t|"), "{sql}: {said} {errors}");
        assert!(errors.contains("nothing_was_changed"), "{sql}: {errors}");
        assert_same(&Connection::open(&path).unwrap(), &there, sql);
    }
    save(&mut after, &path);
    let busy = Connection::open(&path).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let output = shell(&path, &script);
    assert!(!output.stderr.is_empty());
    busy.execute_batch("ROLLBACK").unwrap();
    assert_same(&busy, &after, "a database that is busy");
    let within = format!("PRAGMA foreign_keys = ON;\nBEGIN;\n{script}");
    let output = shell(&path, &within);
    assert!(String::from_utf8_lossy(&output.stdout).contains("foreign keys are enforced"));
    assert_same(&busy, &after, "within another transaction");
}

type Rows = BTreeMap<i64, (i64, i64)>;

fn rows(connection: &Connection) -> Rows {
    let mut statement = connection.prepare("SELECT id, a, b FROM t").unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn change(connection: &Connection, random: &mut Random, count: u64) {
    for _ in 0..count {
        let (id, a) = (random.below(12), random.below(4));
        let sql = match random.below(5) {
            0 => format!("INSERT OR REPLACE INTO t VALUES ({id}, {a}, 0)"),
            1 => format!("DELETE FROM t WHERE id = {id}"),
            2 => format!("UPDATE t SET a = {a} WHERE id = {id}"),
            3 => format!("UPDATE t SET b = {a} WHERE id = {id}"),
            _ => format!("UPDATE t SET a = {a}, b = {a} WHERE id = {id}"),
        };
        connection.execute_batch(&sql).unwrap();
    }
}

/// What every policy has to come to, by comparing all rows of all three states: the ids of conflicts, and the rows that
/// each policy leaves.
fn brute_force(before: &Rows, after: &Rows, live: &Rows) -> (BTreeSet<i64>, Rows, Rows) {
    let mut conflicts = BTreeSet::new();
    let (mut skipped, mut overwritten) = (live.clone(), live.clone());
    let ids: BTreeSet<i64> = before.keys().chain(after.keys()).copied().collect();
    for id in ids {
        let (was, left, now) = (before.get(&id), after.get(&id), live.get(&id));
        if was == left {
            continue;
        }
        // Of a row that was updated only the values count that were.
        let (is_as_left, back) = match (was, left, now) {
            (Some(was), Some(left), Some(now)) => {
                let (a, b) = (was.0 != left.0, was.1 != left.1);
                let is_as_left = (!a || now.0 == left.0) && (!b || now.1 == left.1);
                let back = (if a { was.0 } else { now.0 }, if b { was.1 } else { now.1 });
                (is_as_left, Some(back))
            }
            (was, left, now) => (left == now, was.copied()),
        };
        let set = |rows: &mut Rows| match back {
            Some(row) => {
                rows.insert(id, row);
            }
            None => {
                rows.remove(&id);
            }
        };
        set(&mut overwritten);
        if is_as_left {
            set(&mut skipped);
        } else {
            conflicts.insert(id);
        }
    }
    (conflicts, skipped, overwritten)
}

#[test]
fn t14_what_came_later_is_a_conflict_exactly_where_it_is_one() {
    let (mut free, mut conflicting) = (0, 0);
    for seed in seeds(200) {
        let mut random = Random::new(seed);
        let mut before = database("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT)");
        change(&before, &mut random, 15);
        let mut after = copy(&mut before);
        let count = 1 + random.below(5);
        change(&after, &mut random, count);
        let mut live = copy(&mut after);
        let count = random.below(4);
        change(&live, &mut random, count);
        let (conflicts, skipped, overwritten) =
            brute_force(&rows(&before), &rows(&after), &rows(&live));
        let mut try_it = |policy| -> (Applied, Rows) {
            let there = copy(&mut live);
            let applied = undo(&before, &after, policy, false).apply(&there).unwrap();
            (applied, rows(&there))
        };
        let (applied, there) = try_it(Policy::Strict);
        let named: BTreeSet<i64> = applied
            .conflicts
            .iter()
            .map(|conflict| conflict.row.trim_start_matches("id = ").parse().unwrap())
            .collect();
        assert_eq!(named, conflicts, "seed {seed}");
        assert_eq!(applied.is_done, conflicts.is_empty(), "seed {seed}");
        let (skip, overwrite) = (try_it(Policy::Skip), try_it(Policy::Overwrite));
        assert_eq!(
            there,
            if conflicts.is_empty() { skipped.clone() } else { rows(&live) },
            "seed {seed}"
        );
        assert_eq!(skip.1, skipped, "seed {seed}");
        assert_eq!(skip.0.conflicts.len(), conflicts.len(), "seed {seed}");
        assert_eq!(overwrite.1, overwritten, "seed {seed}");
        if conflicts.is_empty() { free += 1 } else { conflicting += 1 }
    }
    assert!(free > 0 || conflicting > 0);
}

#[test]
fn undo_of_random_histories_is_nothing() {
    let mut undone = 0;
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let mut before = create(&mut random);
        act(&before, &mut random, 50);
        let mut after = copy(&mut before);
        let count = 1 + random.below(12);
        let done = act(&after, &mut random, count);
        let mut steps = strict(&before, &after);
        let live = copy(&mut after);
        let script = text(&mut steps);
        let said = format!("EBBTIDE_SEED={seed}\n{}\n--- script\n{script}", done.join("\n"));
        let applied = steps.apply(&live).unwrap_or_else(|error| panic!("{error:?}: {said}"));
        assert!(applied.is_done, "{applied:?}: {said}");
        if steps.refused().is_empty() {
            undone += 1;
            assert_undone(&live, &before, &said);
        }
    }
    assert!(undone > 20 || seeds(300).count() < 100, "{undone}");
}
