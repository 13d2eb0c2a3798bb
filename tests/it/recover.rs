//! The worst minute of the year: somebody restores by hand, and every word they read has to be right.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{Claim, EntryFlags, EntryKind, Key, Timestamp};
use ebbtide_store::Location;
use ebbtide_testkit::writer::micros_now;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Replica, Sidecar, command, ebbtide, wait_until};

/// A database with rows, one a commit, and its replica in a folder.
struct Shop {
    folder: TempDir,
    database: PathBuf,
    replica: PathBuf,
}

impl Shop {
    fn new() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let (database, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
        Shop { folder, database, replica }
    }

    fn insert(&self, rows: u32) {
        let database = Connection::open(&self.database).unwrap();
        database
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (a INTEGER)")
            .unwrap();
        for _ in 0..rows {
            database.execute("INSERT INTO t VALUES (1)", []).unwrap();
        }
    }

    fn once(&self) {
        succeed(&["replicate", "--once", text(&self.database), text(&self.replica)]);
    }

    /// Each of `steps` is so many rows, and brought to the replica as one entry.
    fn ship(&self, steps: &[u32]) {
        for &rows in steps {
            self.insert(rows);
            self.once();
        }
    }

    fn restore(&self, args: &[&str]) -> Output {
        let mut all = vec!["restore", text(&self.replica), "--json"];
        all.extend(args);
        succeed(&all)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn succeed(args: &[&str]) -> Output {
    let ended = ebbtide(args);
    assert!(ended.status.success(), "{args:?}: {}", said(&ended));
    ended
}

fn said(ended: &Output) -> String {
    String::from_utf8(ended.stderr.clone()).unwrap()
}

fn json(ended: &Output) -> serde_json::Value {
    serde_json::from_slice(&ended.stdout).unwrap()
}

fn rows(database: &Path) -> u32 {
    let database = Connection::open(database).unwrap();
    database.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn log(replica: &Path) -> String {
    String::from_utf8(succeed(&["log", text(replica)]).stdout).unwrap()
}

/// Puts a claim behind the history whose time is as a clock has it that is a year ahead.
fn claim_a_year_ahead(replica: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = text(replica).parse::<Location>().unwrap().open().await.unwrap();
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
        let detail =
            Claim { host, pid: 1, session, version, time, database: None }.to_detail().unwrap();
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
    let shop = Shop::new();
    shop.ship(&[3]);
    claim_a_year_ahead(&shop.replica);
    shop.ship(&[2]);
    let restored = shop.restore(&["-o", text(&shop.path("now.db")), "--timestamp", "now"]);
    assert_eq!(rows(&shop.path("now.db")), 5);
    assert_eq!(json(&restored)["is_newest"], true);
    assert!(said(&restored).contains("a clock was ahead"), "{}", said(&restored));
    let restored = shop.restore(&["-o", text(&shop.path("ago.db")), "--timestamp", "0s ago"]);
    assert_eq!(rows(&shop.path("ago.db")), 3);
    assert!(said(&restored).contains("this state is without them"), "{}", said(&restored));
    assert_eq!(json(&restored)["is_newest"], false);
    assert!(log(&shop.replica).contains("note: txid 0000000000000003 to 0000000000000005"));
    let sidecar = Sidecar::start(&shop.database, text(&shop.replica));
    shop.insert(1);
    succeed(&["sync", "--wait", text(&shop.database)]);
    let status = ebbtide(&["status", "--json"]);
    let lines = String::from_utf8(status.stdout).unwrap();
    let line = lines.lines().find(|line| line.contains(text(&shop.database))).unwrap();
    let report: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(report["attention"], serde_json::json!(["clock"]), "{report}");
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn o21_o23_how_a_point_in_time_was_read_is_printed() {
    let shop = Shop::new();
    shop.ship(&[3]);
    let restore = |when: &str, more: &[&str]| {
        let output = shop.path("out.db");
        let mut args = vec!["restore", text(&shop.replica), "--json", "--force"];
        args.extend(["-o", text(&output)]);
        args.extend(more);
        args.push(when);
        command(&args).env("TZ", "America/New_York").output().unwrap()
    };
    let ended = restore("2099-07-01 09:30", &["--timestamp"]);
    let read_as = "\"2099-07-01 09:30\" was read as 2099-07-01T09:30:00-04:00 (America/New_York), \
                   which is 2099-07-01T13:30:00.000000Z";
    assert!(said(&ended).contains(&format!("note: {read_as}")), "{}", said(&ended));
    assert_eq!(json(&ended)["read_as"], read_as);
    let ended = restore("yesterday", &["--timestamp"]);
    assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    assert!(said(&ended).contains("T00:00:00-0"), "{}", said(&ended));
    let ended = restore("99999999 hours ago", &["--timestamp"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(said(&ended).contains("before the year 1"), "{}", said(&ended));
    let ended = restore("10", &["--txid"]);
    assert_eq!(ended.status.code(), Some(3));
    assert!(said(&ended).contains("hexadecimal: txid 0000000000000010, entry 16"));
    for (when, more) in [("0x2", "--txid"), ("txid:2", "--timestamp"), ("before:3", "--timestamp")]
    {
        let ended = restore(when, &[more]);
        assert_eq!(json(&ended)["txid"], "0000000000000002", "{when}: {}", said(&ended));
    }
}

/// The way back from an accident is no gap of the history: it was chosen.
#[test]
fn o25_a_set_back_by_a_restore_is_told_as_that() {
    let shop = Shop::new();
    shop.ship(&[3, 2, 1, 1]);
    let entries = log(&shop.replica);
    assert!(entries.contains("to 0000000000000008 of "), "{entries}");
    shop.restore(&["--force", "-o", text(&shop.database), "--txid", "4"]);
    assert_eq!(rows(&shop.database), 5);
    shop.once();
    let entries = log(&shop.replica);
    assert!(entries.contains("set back to 4 by a restore, 5 to 8 set aside\n"), "{entries}");
    assert!(entries.contains("1 fork"), "{entries}");
    let gaps = entries.matches("gap: history since").count();
    assert_eq!(gaps, 3, "as before the restore: {entries}");
    let ended = succeed(&["log", "--json", text(&shop.replica)]);
    let lines = String::from_utf8(ended.stdout).unwrap();
    let back = lines.lines().find(|line| line.contains("\"fork\":true")).unwrap();
    let back: serde_json::Value = serde_json::from_str(back).unwrap();
    assert_eq!(
        (&back["set_back_to"], &back["set_back_by"]),
        (&"0000000000000004".into(), &"restore".into())
    );
    succeed(&["verify", text(&shop.replica)]);
    // Somebody wrote before it was followed again: that nobody saw, and it is said besides.
    shop.restore(&["--force", "-o", text(&shop.database), "--txid", "2"]);
    shop.ship(&[1]);
    let entries = log(&shop.replica);
    assert!(entries.contains("set back to 2 by a restore, 3 to a set aside; gap: "), "{entries}");
}

/// What the application may do with its database it may do afterwards. Owner and group only where the test is root.
#[test]
fn o25_owner_mode_and_attributes_of_the_replaced_file_are_kept() {
    let shop = Shop::new();
    shop.ship(&[3]);
    let fresh = shop.path("fresh.db");
    shop.restore(&["-o", text(&fresh)]);
    assert_eq!(fresh.metadata().unwrap().mode() & 0o777, 0o600, "nothing was there");
    fs::set_permissions(&shop.database, Permissions::from_mode(0o640)).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        chown(&shop.database, Some(12_345), Some(23_456)).unwrap();
    }
    let attribute = ["-n", "user.ours", "-v", "kept"];
    let set = Command::new("setfattr").args(attribute).arg(&shop.database).status();
    let has_attributes = set.is_ok_and(|set| set.success());
    let restored = shop.restore(&["--force", "-o", text(&shop.database)]);
    assert_eq!(json(&restored)["not_kept"], serde_json::json!([]));
    let metadata = shop.database.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o640);
    if is_root {
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 23_456));
    }
    if has_attributes {
        let get = ["--only-values", "-n", "user.ours"];
        let got = Command::new("getfattr").args(get).arg(&shop.database).output().unwrap();
        assert_eq!(got.stdout, b"kept");
    }
    assert_eq!(rows(&shop.database), 3);
}

/// An application that waits for its database behind a link finds it there, and not an empty one.
#[test]
fn o05_a_restore_onto_a_link_that_leads_nowhere_writes_where_it_points() {
    let shop = Shop::new();
    shop.ship(&[3]);
    let (link, mounted) = (shop.path("link.db"), shop.path("mounted"));
    fs::create_dir(&mounted).unwrap();
    symlink("mounted/app.db", &link).unwrap();
    let restored = shop.restore(&["--if-not-exists", "-o", text(&link)]);
    assert_eq!(json(&restored)["restored"], true);
    assert!(said(&restored).contains("is a link and leads to"), "{}", said(&restored));
    assert_eq!(rows(&mounted.join("app.db")), 3);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let again = shop.restore(&["--if-not-exists", "-o", text(&link)]);
    assert_eq!(json(&again)["restored"], false);
    let (round, about) = (shop.path("round.db"), shop.path("about.db"));
    symlink(&about, &round).unwrap();
    symlink(&round, &about).unwrap();
    let ended = ebbtide(&["restore", "-o", text(&round), text(&shop.replica)]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said(&ended).contains("too many symbolic links"), "{}", said(&ended));
}

/// A database with a collation that only its application has is exact and cannot be checked.
#[test]
fn o10_a_database_that_only_its_application_can_check_is_restored_and_said_to_be_unchecked() {
    let shop = Shop::new();
    shop.insert(3);
    let swap = "CREATE TABLE names (name TEXT COLLATE nocase); CREATE INDEX by_name ON names (name); \
                INSERT INTO names VALUES ('b'), ('A'); PRAGMA writable_schema = 1; \
                UPDATE sqlite_schema SET sql = replace(sql, 'nocase', 'german')";
    Connection::open(&shop.database).unwrap().execute_batch(swap).unwrap();
    shop.once();
    let copy = shop.path("copy.db");
    let restored = shop.restore(&["--verify", "full", "-o", text(&copy)]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&shop.database).unwrap());
    let why = "table names: no such collation sequence: german";
    assert!(said(&restored).contains(why), "{}", said(&restored));
    assert_eq!(json(&restored)["verified"], false);
    let verified = succeed(&["verify", "--restore", text(&shop.replica)]);
    let out = String::from_utf8(verified.stdout).unwrap();
    assert!(out.contains(why) && out.ends_with("sound\n"), "{out}");
}

/// A copy is a copy: nothing is left beside it.
#[test]
fn o17_a_copy_leaves_no_state_and_what_will_be_followed_does() {
    let shop = Shop::new();
    shop.ship(&[3, 2]);
    let state = |name: &str| shop.path(&format!(".{name}-ebbtide")).exists();
    let restored = shop.restore(&["-o", text(&shop.path("copy.db")), "--txid", "2"]);
    assert!(!state("copy.db"));
    let next = json(&restored)["next"].as_str().unwrap().to_owned();
    assert!(next.contains("restore --force --txid 2 -o DATABASE "), "{next}");
    let restored = shop.restore(&["-o", text(&shop.path("other.db")), "--txid", "2", "--follow"]);
    assert!(state("other.db"));
    let next = json(&restored)["next"].as_str().unwrap().to_owned();
    assert!(next.contains("ebbtide replicate "), "{next}");
    // As it says: it carries on, although the replica has more.
    succeed(&["replicate", "--once", text(&shop.path("other.db")), text(&shop.replica)]);
    assert!(log(&shop.replica).contains("set back to 2 by a restore, 3 to 4 set aside"));
    // The database's own place.
    fs::remove_file(&shop.database).unwrap();
    shop.restore(&["-o", text(&shop.database), "--txid", "4"]);
    shop.once();
    assert!(log(&shop.replica).contains("set back to 4 by a restore, 5 to 6 set aside"));
}

/// The state beside a database knows its replica, also when the database is lost.
#[test]
fn o30_a_database_stands_for_its_replica_without_a_configuration() {
    let shop = Shop::new();
    shop.ship(&[3]);
    let told = String::from_utf8(succeed(&["log", text(&shop.database)]).stdout).unwrap();
    assert_eq!(told, log(&shop.replica));
    succeed(&["verify", text(&shop.database)]);
    fs::remove_file(&shop.database).unwrap();
    succeed(&["restore", text(&shop.database)]);
    assert_eq!(rows(&shop.database), 3);
    let other = shop.path("other.db");
    fs::copy(&shop.database, &other).unwrap();
    let ended = ebbtide(&["log", text(&other)]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(said(&ended).contains("is a file and no replica"), "{}", said(&ended));
}

/// A claim that came last takes nothing from the newest state.
#[test]
fn o31_the_newest_state_is_the_newest_whatever_was_claimed_since() {
    let shop = Shop::new();
    shop.ship(&[3]);
    shop.once();
    let copy = shop.path("copy.db");
    let ended = succeed(&["restore", "--txid", "2", "-o", text(&copy), text(&shop.replica)]);
    let out = String::from_utf8(ended.stdout).unwrap();
    assert!(out.contains("to txid 0000000000000002") && out.ends_with(", the newest\n"), "{out}");
    let restored = shop.restore(&["--force", "-o", text(&copy)]);
    assert!(json(&restored)["bytes_fetched"].as_u64().unwrap() > 0);
}

/// What the log says can be restored is what a verification says, or it says nothing.
#[test]
fn o25_a_log_with_a_hole_does_not_say_that_all_of_it_can_be_restored() {
    let shop = Shop::new();
    shop.ship(&[3, 1, 1]);
    assert!(log(&shop.replica).contains("can be restored: any txid from "));
    fs::remove_file(shop.replica.join("log/0000000000000004.seg")).unwrap();
    let told = log(&shop.replica);
    assert!(
        told.contains("because entries 0000000000000004 to 0000000000000004 are in no"),
        "{told}"
    );
    let verified = ebbtide(&["verify", text(&shop.replica)]);
    let out = String::from_utf8(verified.stdout).unwrap();
    assert!(
        out.contains("can be restored: txid 0000000000000002 to 0000000000000003 of "),
        "{out}"
    );
    let ended = ebbtide(&["restore", "-o", text(&shop.path("copy.db")), text(&shop.replica)]);
    assert_eq!(ended.status.code(), Some(4));
    assert!(said(&ended).contains("nearest is txid 0000000000000003"), "{}", said(&ended));
}

/// The whole way back while ebbtide runs: it lets the database go, and follows it again.
#[test]
fn o01_a_restore_over_a_database_that_is_followed_is_one_command() {
    let shop = Shop::new();
    shop.insert(3);
    let sidecar = Sidecar::start(&shop.database, text(&shop.replica));
    shop.insert(4);
    succeed(&["sync", "--wait", text(&shop.database)]);
    let head = Replica::open(text(&shop.replica)).head().unwrap().get();
    let (to, first) = (format!("{:x}", head - 2), format!("{:x}", head - 1));
    let restore =
        ["restore", "--force", "--txid", &to, "-o", text(&shop.database), text(&shop.replica)];
    // As long as the application has it open, it stays, and it is followed.
    let application = Connection::open(&shop.database).unwrap();
    application.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    let refused = ebbtide(&restore);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let why = format!("process {} has it open", std::process::id());
    assert!(said(&refused).contains(&why), "{}", said(&refused));
    succeed(&["sync", "--wait", text(&shop.database)]);
    drop(application);
    let restored = succeed(&restore);
    let next = format!("process {} follows the database again", sidecar.process().id());
    assert!(said(&restored).contains(&next), "{}", said(&restored));
    assert_eq!(rows(&shop.database), 5);
    shop.insert(1);
    wait_until("it to be followed again", || {
        ebbtide(&["sync", "--wait", text(&shop.database)]).status.success()
    });
    let told = log(&shop.replica);
    let back = format!("set back to {to} by a restore, {first} to {head:x} set aside");
    assert!(told.contains(&back), "{back}: {told}");
    assert_eq!(sidecar.stop(), 0);
    Replica::open(text(&shop.replica)).assert_ends_with(&shop.database, shop.folder.path());
}
