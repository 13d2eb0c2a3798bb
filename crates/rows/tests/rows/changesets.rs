//! Changesets, applied by SQLite's own session extension in Debian's library.

use std::process::Command;

use rusqlite::Connection;

use crate::scripts::CASES;
use crate::support::{APPLY, assert_same, changeset, contents, copy, database, save};

#[test]
fn sqlites_own_session_extension_applies_the_changesets() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("old.db"), directory.path().join("changes"));
    let mut applied = 0;
    for (said, begin, then) in CASES {
        let mut old = database(begin);
        let new = copy(&mut old);
        new.execute_batch(then).unwrap();
        let (bytes, left_out) = changeset(&old, &new);
        save(&mut old, &path);
        std::fs::write(&file, &bytes).unwrap();
        let output = Command::new("python3").args(["-c", APPLY]).arg(&file).arg(&path).output();
        let Ok(output) = output else {
            eprintln!("skipped, because there is no python3");
            return;
        };
        if output.status.code() == Some(77) {
            eprintln!("skipped, because there is no SQLite with the session extension");
            return;
        }
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Where triggers act a second time, it is the receiver who has to see to it.
        if said.starts_with("t15") {
            continue;
        }
        assert!(output.status.success() && out.is_empty(), "{said}: {out} {errors} {left_out:?}");
        let there = Connection::open(&path).unwrap();
        let (there, expected) = (contents(&there), contents(&new));
        for (table, rows) in &expected {
            let is_left_out =
                left_out.iter().any(|(name, _)| name.to_lowercase().ends_with(table.as_str()));
            if !is_left_out
                && table != "sqlite_schema"
                && table != "sqlite_sequence"
                && table != "i"
            {
                assert_eq!(there.get(table), Some(rows), "{said}: {table}: {left_out:?}");
                applied += usize::from(!bytes.is_empty());
            }
        }
    }
    assert!(applied >= 8, "{applied} tables");
}

#[test]
fn what_cannot_be_in_a_changeset_is_named() {
    let mut old = database(
        "CREATE TABLE bare (a); CREATE TABLE nulls (a PRIMARY KEY, b); CREATE TABLE good (a PRIMARY KEY, b);
         INSERT INTO nulls VALUES (NULL, 1), (NULL, 2)",
    );
    let new = copy(&mut old);
    new.execute_batch(
        "INSERT INTO bare VALUES (1); INSERT INTO nulls VALUES (NULL, 3); INSERT INTO good VALUES (1, 2);
         CREATE INDEX i ON good (b)",
    )
    .unwrap();
    let (bytes, left_out) = changeset(&old, &new);
    let names: Vec<&str> = left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["index i", "bare", "nulls"]);
    assert!(bytes.starts_with(b"T\x02\x01\x00good\0\x12\x00"), "{bytes:?}");
    assert_same(&old, &old, "nothing is written");
}
