//! The worst minute of the year: somebody restores by hand, and every word they read has to be right.

use std::path::{Path, PathBuf};
use std::process::Output;

use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::store::Location;
use ebbtide_replica::{Claim, EntryFlags, EntryKind, Key, Timestamp, catalog};
use ebbtide_testkit::writer::micros_now;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{command, ebbtide};

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
        let manifest = catalog::read_manifest(&*store).await.unwrap().unwrap();
        let head = catalog::head(&*store, &manifest).await.unwrap().unwrap();
        let year = 365 * 86_400 * 1_000_000;
        let time = Timestamp::from_micros(i64::try_from(micros_now()).unwrap() + year).unwrap();
        let txid = head.entry.txid.next();
        let contents = Contents::Segment { first: txid, chain: head.chain };
        let (replica, page_size) = (manifest.replica, manifest.page_size);
        let mut writer = Writer::new(Header { replica, page_size, contents });
        let empty = String::new;
        let (host, session, version) = (empty(), empty(), empty());
        let detail = Claim { host, pid: 1, session, version, time }.to_detail().unwrap();
        let (kind, flags) = (EntryKind::Claim, EntryFlags::NONE);
        let database_pages = head.entry.database_pages;
        let start = EntryStart { txid, kind, flags, time, database_pages, detail };
        writer.begin_entry(start).unwrap();
        writer.end_entry(head.entry.digest).unwrap();
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
    let sidecar = crate::support::Sidecar::start(&shop.database, text(&shop.replica));
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
