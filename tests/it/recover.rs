//! The worst minute of the year: somebody restores by hand, and every word they read has to be right.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{Claim, EntryFlags, EntryKind, Key, Timestamp};
use ebbtide_store::Location;
use ebbtide_testkit::writer::micros_now;
use rusqlite::Connection;

use crate::support::{Ended, Setup, rows, wait_until};

/// Each of `steps` is so many rows, and brought to the replica as one entry.
fn ship(setup: &Setup, steps: &[u32]) {
    for &rows in steps {
        insert(setup, rows);
        setup.once().exits(0);
    }
}

/// An application that comes, inserts, and goes.
fn insert(setup: &Setup, rows: u32) {
    setup.app().insert(rows, 8);
}

fn restore(setup: &Setup, args: &[&str]) -> Ended {
    setup.restore(&[&["--json"], args].concat()).exits(0)
}

fn log(setup: &Setup) -> String {
    setup.run(&["log", &setup.replica]).exits(0).out
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Puts a claim behind the history whose time is as a clock has it that is a year ahead.
fn claim_a_year_ahead(replica: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = replica.parse::<Location>().unwrap().open().await.unwrap();
        let manifest = ebbtide_catalog::read_manifest(&*store).await.unwrap().unwrap();
        let head = ebbtide_catalog::head(&*store, &manifest).await.unwrap().unwrap();
        let year = 365 * 86_400 * 1_000_000;
        let time = Timestamp::from_micros(i64::try_from(micros_now()).unwrap() + year).unwrap();
        let txid = head.state.txid().next();
        let contents = Contents::Segment { first: txid, chain: head.state.chain };
        let (replica, page_size) = (manifest.replica, manifest.page_size);
        let mut writer = Writer::new(Header { replica, page_size, contents });
        let empty = String::new;
        let (host, session, version) = (empty(), empty(), empty());
        let claim = Claim { host, pid: 1, session, version, time, database: None, manifest: None };
        let detail = claim.to_detail().unwrap();
        let (kind, flags) = (EntryKind::Claim, EntryFlags::NONE);
        let database_pages = head.state.database_pages;
        let start = EntryStart { txid, kind, flags, time, database_pages, detail };
        writer.begin_entry(start).unwrap();
        writer.end_entry(head.state.digest).unwrap();
        let finished = writer.finish().unwrap();
        store.put(&Key::Log(txid), finished.tail.into()).await.unwrap();
    });
}

/// What is committed after a clock was ahead has the clock's time; `now` means now nevertheless, and everything says so.
#[test]
fn o08_a_clock_that_was_ahead_is_told_and_now_is_the_newest_state() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    claim_a_year_ahead(&setup.replica);
    ship(&setup, &[2]);
    let restored = restore(&setup, &["-o", &setup.text("now.db"), "--timestamp", "now"]);
    assert_eq!(rows(&setup.path("now.db")), 5);
    assert_eq!(restored.json()["is_newest"], true);
    restored.says("a clock was ahead");
    let restored = restore(&setup, &["-o", &setup.text("ago.db"), "--timestamp", "0s ago"]);
    assert_eq!(rows(&setup.path("ago.db")), 3);
    restored.says("this state is without them");
    assert_eq!(restored.json()["is_newest"], false);
    assert!(log(&setup).contains("note: txid 0000000000000003 to 0000000000000005"));
    let sidecar = setup.follow();
    insert(&setup, 1);
    setup.sync();
    let status = setup.run(&["status", "--json"]);
    let lines = status.out;
    let line = lines.lines().find(|line| line.contains(text(&setup.database))).unwrap();
    let report: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(report["attention"], serde_json::json!(["clock"]), "{report}");
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn o21_o23_how_a_point_in_time_was_read_is_printed() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    let restore = |when: &str, more: &[&str]| {
        let output = setup.path("out.db");
        let mut args = vec!["restore", &setup.replica, "--json", "--force"];
        args.extend(["-o", text(&output)]);
        args.extend(more);
        args.push(when);
        Ended::of(setup.command(&args).env("TZ", "America/New_York"))
    };
    let ended = restore("2099-07-01 09:30", &["--timestamp"]);
    let read_as = "\"2099-07-01 09:30\" was read as 2099-07-01T09:30:00-04:00 (America/New_York), \
                   which is 2099-07-01T13:30:00.000000Z";
    assert!(ended.said.contains(&format!("note: {read_as}")), "{}", ended.said);
    assert_eq!(ended.json()["read_as"], read_as);
    restore("yesterday", &["--timestamp"]).exits(3).says("T00:00:00-0");
    restore("99999999 hours ago", &["--timestamp"]).exits(2).says("before the year 1");
    restore("10", &["--txid"]).exits(3).says("hexadecimal: txid 0000000000000010, entry 16");
    for (when, more) in [("0x2", "--txid"), ("txid:2", "--timestamp"), ("before:3", "--timestamp")]
    {
        let ended = restore(when, &[more]);
        assert_eq!(ended.json()["txid"], "0000000000000002", "{when}: {}", ended.said);
    }
}

/// The way back from an accident is no gap of the history: it was chosen.
#[test]
fn o25_a_set_back_by_a_restore_is_told_as_that() {
    let setup = Setup::new();
    ship(&setup, &[3, 2, 1, 1]);
    let entries = log(&setup);
    assert!(entries.contains("to 0000000000000008 of "), "{entries}");
    restore(&setup, &["--force", "-o", text(&setup.database), "--txid", "4"]);
    assert_eq!(rows(&setup.database), 5);
    setup.once().exits(0);
    let entries = log(&setup);
    assert!(entries.contains("set back to 4 by a restore, 5 to 8 set aside\n"), "{entries}");
    assert!(entries.contains("1 fork"), "{entries}");
    let gaps = entries.matches("gap: history since").count();
    assert_eq!(gaps, 3, "as before the restore: {entries}");
    let ended = setup.run(&["log", "--json", &setup.replica]).exits(0);
    let lines = ended.out;
    let back = lines.lines().find(|line| line.contains("\"fork\":true")).unwrap();
    let back: serde_json::Value = serde_json::from_str(back).unwrap();
    assert_eq!(
        (&back["set_back_to"], &back["set_back_by"]),
        (&"0000000000000004".into(), &"restore".into())
    );
    setup.run(&["verify", &setup.replica]).exits(0);
    // Somebody wrote before it was followed again: that nobody saw, and it is said besides.
    restore(&setup, &["--force", "-o", text(&setup.database), "--txid", "2"]);
    ship(&setup, &[1]);
    let entries = log(&setup);
    assert!(entries.contains("set back to 2 by a restore, 3 to a set aside; gap: "), "{entries}");
}

/// What the application may do with its database it may do afterwards. Owner and group only where the test is root.
#[test]
fn o25_owner_mode_and_attributes_of_the_replaced_file_are_kept() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    let fresh = setup.path("fresh.db");
    restore(&setup, &["-o", text(&fresh)]);
    assert_eq!(fresh.metadata().unwrap().mode() & 0o777, 0o600, "nothing was there");
    fs::set_permissions(&setup.database, Permissions::from_mode(0o640)).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        chown(&setup.database, Some(12_345), Some(23_456)).unwrap();
    }
    let attribute = ["-n", "user.ours", "-v", "kept"];
    let set = Command::new("setfattr").args(attribute).arg(&setup.database).status();
    let has_attributes = set.is_ok_and(|set| set.success());
    let restored = restore(&setup, &["--force", "-o", text(&setup.database)]);
    assert_eq!(restored.json()["not_kept"], serde_json::json!([]));
    let metadata = setup.database.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o640);
    if is_root {
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 23_456));
    }
    if has_attributes {
        let get = ["--only-values", "-n", "user.ours"];
        let got = Command::new("getfattr").args(get).arg(&setup.database).output().unwrap();
        assert_eq!(got.stdout, b"kept");
    }
    assert_eq!(rows(&setup.database), 3);
}

/// An application that waits for its database behind a link finds it there, and not an empty one.
#[test]
fn o05_a_restore_onto_a_link_that_leads_nowhere_writes_where_it_points() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    let (link, mounted) = (setup.path("link.db"), setup.path("mounted"));
    fs::create_dir(&mounted).unwrap();
    symlink("mounted/app.db", &link).unwrap();
    let restored = restore(&setup, &["--if-not-exists", "-o", text(&link)]);
    assert_eq!(restored.json()["restored"], true);
    restored.says("is a link and leads to");
    assert_eq!(rows(&mounted.join("app.db")), 3);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let again = restore(&setup, &["--if-not-exists", "-o", text(&link)]);
    assert_eq!(again.json()["restored"], false);
    let (round, about) = (setup.path("round.db"), setup.path("about.db"));
    symlink(&about, &round).unwrap();
    symlink(&round, &about).unwrap();
    setup
        .run(&["restore", "-o", text(&round), &setup.replica])
        .exits(1)
        .says("too many symbolic links");
}

/// A database with a collation that only its application has is exact and cannot be checked.
#[test]
fn o10_a_database_that_only_its_application_can_check_is_restored_and_said_to_be_unchecked() {
    let setup = Setup::new();
    insert(&setup, 3);
    let swap = "CREATE TABLE names (name TEXT COLLATE nocase); CREATE INDEX by_name ON names (name); \
                INSERT INTO names VALUES ('b'), ('A'); PRAGMA writable_schema = 1; \
                UPDATE sqlite_schema SET sql = replace(sql, 'nocase', 'german')";
    Connection::open(&setup.database).unwrap().execute_batch(swap).unwrap();
    setup.once().exits(0);
    let copy = setup.path("copy.db");
    let restored = restore(&setup, &["--verify", "full", "-o", text(&copy)]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&setup.database).unwrap());
    let why = "table names: no such collation sequence: german";
    restored.says(why);
    assert_eq!(restored.json()["verified"], false);
    let verified = setup.run(&["verify", "--restore", &setup.replica]).exits(0);
    let out = verified.out;
    assert!(out.contains(why) && out.ends_with("sound\n"), "{out}");
}

/// A copy is a copy: nothing is left beside it.
#[test]
fn o17_a_copy_leaves_no_state_and_what_will_be_followed_does() {
    let setup = Setup::new();
    ship(&setup, &[3, 2]);
    let state = |name: &str| setup.path(&format!(".{name}-ebbtide")).exists();
    let restored = restore(&setup, &["-o", &setup.text("copy.db"), "--txid", "2"]);
    assert!(!state("copy.db"));
    let next = restored.json()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("restore --force --txid 2 -o DATABASE "), "{next}");
    let restored = restore(&setup, &["-o", &setup.text("other.db"), "--txid", "2", "--follow"]);
    assert!(state("other.db"));
    let next = restored.json()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("ebbtide replicate "), "{next}");
    // As it says: it carries on, although the replica has more.
    setup.run(&["replicate", "--once", &setup.text("other.db"), &setup.replica]).exits(0);
    assert!(log(&setup).contains("set back to 2 by a restore, 3 to 4 set aside"));
    // The database's own place.
    fs::remove_file(&setup.database).unwrap();
    restore(&setup, &["-o", text(&setup.database), "--txid", "4"]);
    setup.once().exits(0);
    assert!(log(&setup).contains("set back to 4 by a restore, 5 to 6 set aside"));
}

/// The state beside a database knows its replica, also when the database is lost.
#[test]
fn o30_a_database_stands_for_its_replica_without_a_configuration() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    let told = setup.run(&["log", text(&setup.database)]).exits(0).out;
    assert_eq!(told, log(&setup));
    setup.run(&["verify", text(&setup.database)]).exits(0);
    fs::remove_file(&setup.database).unwrap();
    setup.run(&["restore", text(&setup.database)]).exits(0);
    assert_eq!(rows(&setup.database), 3);
    let other = setup.path("other.db");
    fs::copy(&setup.database, &other).unwrap();
    setup.run(&["log", text(&other)]).exits(2).says("is a file and no replica");
}

/// A claim that came last takes nothing from the newest state.
#[test]
fn o31_the_newest_state_is_the_newest_whatever_was_claimed_since() {
    let setup = Setup::new();
    ship(&setup, &[3]);
    setup.once().exits(0);
    let copy = setup.path("copy.db");
    let ended = setup.run(&["restore", "--txid", "2", "-o", text(&copy), &setup.replica]).exits(0);
    let out = ended.out;
    assert!(out.contains("to txid 0000000000000002") && out.ends_with(", the newest\n"), "{out}");
    let restored = restore(&setup, &["--force", "-o", text(&copy)]);
    assert!(restored.json()["bytes_fetched"].as_u64().unwrap() > 0);
}

/// What the log says can be restored is what a verification says, or it says nothing.
#[test]
fn o25_a_log_with_a_hole_does_not_say_that_all_of_it_can_be_restored() {
    let setup = Setup::new();
    ship(&setup, &[3, 1, 1]);
    assert!(log(&setup).contains("can be restored: any txid from "));
    fs::remove_file(setup.path("backup/log/0000000000000004.seg")).unwrap();
    let told = log(&setup);
    assert!(
        told.contains("because entries 0000000000000004 to 0000000000000004 are in no"),
        "{told}"
    );
    let verified = setup.run(&["verify", &setup.replica]);
    let out = verified.out;
    assert!(
        out.contains("can be restored: txid 0000000000000002 to 0000000000000003 of "),
        "{out}"
    );
    setup
        .run(&["restore", "-o", &setup.text("copy.db"), &setup.replica])
        .exits(4)
        .says("nearest is txid 0000000000000003");
}

/// The whole way back while ebbtide runs: it lets the database go, and follows it again.
#[test]
fn o01_a_restore_over_a_database_that_is_followed_is_one_command() {
    let setup = Setup::new();
    insert(&setup, 3);
    let sidecar = setup.follow();
    insert(&setup, 4);
    setup.sync();
    let head = setup.history().head().unwrap().get();
    let (to, first) = (format!("{:x}", head - 2), format!("{:x}", head - 1));
    let restore =
        ["restore", "--force", "--txid", &to, "-o", text(&setup.database), &setup.replica];
    // As long as the application has it open, it stays, and it is followed.
    let application = Connection::open(&setup.database).unwrap();
    application.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    let refused = setup.run(&restore);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.said);
    let why = format!("process {} has it open", std::process::id());
    refused.says(&why);
    setup.sync();
    drop(application);
    let restored = setup.run(&restore).exits(0);
    let next = format!("process {} follows the database again", sidecar.process().id());
    restored.says(&next);
    assert_eq!(rows(&setup.database), 5);
    insert(&setup, 1);
    wait_until("it to be followed again", || {
        setup.run(&["sync", "--wait", text(&setup.database)]).status.success()
    });
    let told = log(&setup);
    let back = format!("set back to {to} by a restore, {first} to {head:x} set aside");
    assert!(told.contains(&back), "{back}: {told}");
    assert_eq!(sidecar.stop(), 0);
    setup.assert_exact();
}
