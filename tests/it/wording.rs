//! What commands say in passing, where it was once beside the point. Would catch a "newest" that is no commit, a command to go on
//! with that cannot succeed, an alarm after everything was mended, and help in which nobody finds anything.

use std::fs;

use serde_json::Value;

use crate::support::{PATIENCE, Setup, ebbtide, wait_until};

/// What `log --json` has of this kind, in order.
fn entries(setup: &Setup, what: &str) -> Vec<Value> {
    let lines = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    lines.into_iter().filter(|line| line["what"] == what).collect()
}

#[test]
fn a_restore_names_the_newest_commit_and_not_a_claim_after_it() {
    let (setup, app) = Setup::with_rows(2);
    setup.once().exits(0);
    app.insert(1, 100);
    setup.once().exits(0);
    // Processes that began, and found nothing to do.
    for _ in 0..2 {
        setup.once().exits(0);
    }
    let (commits, claims) = (entries(&setup, "commit"), entries(&setup, "claim"));
    let (commit, claim) = (commits.last().unwrap(), claims.last().unwrap());
    assert!(claim["txid"].as_str() > commit["txid"].as_str(), "{claim} after {commit}");
    let txid = commit["txid"].as_str().unwrap();
    let (out, dry) = (setup.text("out.db"), setup.text("dry.db"));
    let told = setup.run(&["restore", "-o", &out, &setup.replica]).exits(0);
    told.prints(&format!("to txid {txid} of {}, the newest", commit["time"].as_str().unwrap()));
    told.says(&format!("--txid {} ", txid.trim_start_matches('0')));
    let dry = setup.run(&["restore", "--dry-run", "--json", "-o", &dry, &setup.replica]).exits(0);
    let dry = dry.json();
    assert_eq!([&dry["txid"], &dry["commit_txid"]], [&claim["txid"], &commit["txid"]]);
    assert_eq!(dry["commit_time"], commit["time"]);
    // What it proposes gives the same.
    let by_txid = setup.text("by-txid.db");
    setup.run(&["restore", "-o", &by_txid, "--txid", txid, &setup.replica]).exits(0);
    assert!(fs::read(&out).unwrap() == fs::read(&by_txid).unwrap());
}

#[test]
fn a_restore_from_two_places_proposes_both_to_go_on_with() {
    let (setup, _app) = Setup::with_rows(2);
    setup.once().exits(0);
    let copy = setup.text("copy");
    setup.run(&["copy", &setup.replica, &copy]).exits(0);
    let snapshot = fs::read_dir(setup.path("backup/snap")).unwrap().next().unwrap().unwrap().path();
    fs::write(&snapshot, "no snapshot any more").unwrap();
    setup.run(&["restore", "-o", &setup.text("one.db"), &setup.replica]).exits(4);
    let out = setup.text("out.db");
    let told = setup.run(&["restore", "-o", &out, &setup.replica, &copy]).exits(0);
    told.says(&format!("-o DATABASE {} {copy}`", setup.replica));
}

/// With the log that was left empty, because the process that follows had the database open.
#[test]
fn a_database_that_was_lost_is_restored_beside_an_empty_log_and_needs_nobody_afterwards() {
    let (setup, app) = Setup::with_rows(3);
    let sidecar = setup.follow();
    setup.sync();
    drop(app);
    wait_until("nobody to have it open", || setup.report()["resting"] == true);
    fs::remove_file(&setup.database).unwrap();
    wait_until("the loss to be seen", || setup.report()["attention"][0] == "failing");
    let log = setup.path("app.db-wal");
    if !log.exists() {
        fs::write(&log, "").unwrap();
    }
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    let told = setup.restore(&["-o", setup.database.to_str().unwrap()]).exits(0);
    told.says("what was in its place is now").says("follows the database again");
    wait_until("it to follow again", || setup.report()["phase"] == "following");
    let (code, reports) = setup.status(&[]);
    assert_eq!((code, &reports[0]["attention"]), (0, &Value::Array(Vec::new())), "{reports:?}");
    assert_eq!(reports[0]["last_failure"], Value::Null);
    setup.app().insert(1, 100);
    setup.sync();
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_log_with_something_in_it_is_no_part_of_what_is_restored_and_is_refused() {
    let (setup, _app) = Setup::with_rows(1);
    setup.once().exits(0);
    let restore = || setup.run(&["restore", "-o", &setup.text("out.db"), &setup.replica]);
    for suffix in ["wal", "journal"] {
        let beside = setup.path(&format!("out.db-{suffix}"));
        fs::write(&beside, "left behind").unwrap();
        restore().exits(1).says("SQLite would take it for part of the restored one");
        assert!(!setup.path("out.db").exists());
        fs::write(&beside, "").unwrap();
    }
    restore().exits(0);
    assert!(setup.path("out.db").exists() && !setup.path("out.db-journal").exists());
}

#[test]
fn a_span_without_ago_is_answered_with_what_to_write() {
    let setup = Setup::new();
    let restore = ["restore", "-o", "out.db", "--timestamp", "1m", &setup.replica];
    setup.run(&restore).exits(2).says("\"1m\" is a span and no time: write \"1m ago\"");
}

#[test]
fn the_oldest_answer_stands_beside_the_oldest_entry() {
    let (setup, app) = Setup::with_rows(2);
    setup.once().exits(0);
    app.insert(1, 100);
    setup.once().exits(0);
    let told = setup.run(&["when", &setup.replica, "SELECT count(*) FROM t"]).exits(0);
    let note = told.said.lines().find(|line| line.contains("1 change from txid ")).unwrap();
    let (oldest, newest) = note.split_once(", to txid ").unwrap_or_else(|| panic!("{note}"));
    assert!(oldest.ends_with(", where the answer is 2") && newest.contains("; asked "), "{note}");
}

#[test]
fn options_of_all_commands_stand_under_a_heading_of_their_own() {
    for command in ["restore", "replicate", "list", "drill", "key check", "prune"] {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let help = ebbtide(&words).exits(0).out;
        let (own, global) =
            help.split_once("\nGlobal options:\n").unwrap_or_else(|| panic!("{help}"));
        assert!(!own.contains("--log ") && !own.contains("--log-format"), "{command}: {own}");
        assert!(global.contains("--log <FILTER>") && global.contains("--log-format"), "{global}");
    }
}

#[test]
fn a_process_that_follows_says_what_it_keeps_and_at_the_end_what_it_did() {
    let (setup, app) = Setup::with_rows(1);
    let message = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["fields"]["message"].as_str().unwrap().to_owned()
    };
    let sidecar = setup.follow();
    let first = message(&sidecar.process().line_with("is kept", PATIENCE));
    app.insert(1, 100);
    setup.sync();
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    let kept = format!(
        "every commit is kept, and the replica is not encrypted; `ebbtide status` shows how it is, `ebbtide log {}` what \
         can be restored",
        setup.replica
    );
    assert_eq!(first, kept);
    let last = message(said.lines().last().unwrap());
    assert!(last.starts_with("since the start: ") && last.contains(" commit"), "{last}");
    assert!(!last.contains(" 0 commits") && last.ends_with(" sent"), "{last}");
    let once = setup.once().exits(0);
    assert!(
        !once.said.contains("is kept") && !once.said.contains("since the start"),
        "{}",
        once.said
    );
}
