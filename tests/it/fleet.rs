//! All replicas below one address, as a machine sees them that follows none of them. Would catch a replica that is not found,
//! one that fails all others, a silence that nobody sees, and a second look that reads everything again.

mod metrics;
mod page;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ebbtide_testkit::s3_server::S3Server;
use serde_json::{Value, json};

use crate::support::{Ended, Setup, damage_newest};

/// The names of the replicas below the address of [`tenants`].
const NAMES: [&str; 4] = ["apps/shop", "tenants/a.db", "tenants/eu/b.db", "tenants/eu/c.db"];

/// Replicas of one row and more, at different depths of a bucket or directory, each of a database of its own.
fn tenants(setup: &Setup, root: &str) {
    for (rows, name) in (1..).zip(NAMES) {
        let database = format!("{}.db", name.replace('/', "-"));
        setup.other_app(&database).insert(rows, 700);
        let (place, keys) = root.split_once('?').unwrap_or((root, ""));
        let replica = format!("{place}/{name}?{keys}");
        let replica = replica.trim_end_matches('?');
        setup.run(&["replicate", "--once", &setup.text(&database), replica]).exits(0);
    }
}

fn list(setup: &Setup, more: &[&str], root: &str) -> Ended {
    Ended::of(
        setup
            .command(&[&["list"], more, &[root]].concat())
            .env("XDG_CACHE_HOME", setup.path("cache"))
            .env("XDG_STATE_HOME", setup.path("memory")),
    )
}

fn drill(setup: &Setup, more: &[&str], root: &str) -> Ended {
    let all = format!("{root}/**");
    Ended::of(
        setup
            .command(&[&["drill", "--no-file"], more, &[&all]].concat())
            .env("XDG_CACHE_HOME", setup.path("cache"))
            .env("XDG_STATE_HOME", setup.path("memory")),
    )
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["name"].as_str().unwrap()).collect()
}

/// Sets when all objects of a replica were put: the newest so long ago, each one before it a minute earlier.
fn age(replica: &Path, newest: Duration) {
    let mut files: Vec<_> = ["log", "pack", "snap"]
        .into_iter()
        .filter_map(|directory| fs::read_dir(replica.join(directory)).ok())
        .flatten()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let micros = u64::try_from(ebbtide_sidecar::clock::now().as_micros()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    for (minutes, path) in files.iter().rev().enumerate() {
        let ago = newest + Duration::from_secs(60) * u32::try_from(minutes).unwrap();
        File::open(path).unwrap().set_modified(now - ago).unwrap();
    }
}

#[test]
fn all_replicas_of_a_bucket_are_found_and_unchanged_ones_are_asked_once() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let root = setup.replica.clone();
    tenants(&setup, &root);
    let lines = list(&setup, &["--json"], &root).exits(0).json_lines();
    assert_eq!(names(&lines), NAMES);
    for (line, rows) in lines.iter().zip(1u64..) {
        let database = line["database"].as_str().unwrap();
        let name = line["name"].as_str().unwrap();
        assert!(database.ends_with(&format!("{}.db", name.replace('/', "-"))), "{database}");
        assert_eq!(line["address"], root.replace('?', &format!("/{name}?")), "{line}");
        assert!(line["host"].is_string() && line["bytes"].as_u64().unwrap() > 1000, "{line}");
        assert_eq!(line["encrypted"], false);
        let newest = u64::from_str_radix(line["newest_txid"].as_str().unwrap(), 16).unwrap();
        assert!(newest >= 1, "{rows} rows: {line}");
        assert!(line["silent_seconds"].as_f64().unwrap() < 120.0, "{line}");
    }
    let before = server.asked().len();
    let again = list(&setup, &["--json"], &root).exits(0).json_lines();
    assert_eq!(names(&again), NAMES);
    // One listing for each of the eight places that are no replica's own, and one request for each replica.
    let requests = server.asked().len() - before;
    assert!(requests <= 8 + NAMES.len(), "{requests} requests");
    // What comes is seen at once.
    setup.other_app("tenants-a.db.db").insert(5, 700);
    let replica = root.replace('?', "/tenants/a.db?");
    setup.run(&["replicate", "--once", &setup.text("tenants-a.db.db"), &replica]).exits(0);
    let later = list(&setup, &["--json"], &root).exits(0).json_lines();
    assert!(later[1]["newest_txid"].as_str() > again[1]["newest_txid"].as_str());
    assert_eq!(later[2]["newest_txid"], again[2]["newest_txid"]);
    let table = list(&setup, &[], &root).exits(0);
    table.prints("REPLICA").prints("tenants/eu/c.db").prints("just now");
}

#[test]
fn what_cannot_be_read_comes_first_and_what_is_silent_next() {
    let setup = Setup::new();
    let root = setup.replica.clone();
    tenants(&setup, &root);
    let app = setup.other_app("tenants-eu-c.db.db");
    let silent = setup.path("backup/tenants/eu/c.db");
    for _ in 0..9 {
        app.insert(1, 50);
        let database = setup.text("tenants-eu-c.db.db");
        setup.run(&["replicate", "--once", &database, silent.to_str().unwrap()]).exits(0);
    }
    age(&silent, Duration::from_secs(14 * 60));
    list(&setup, &[], &root).exits(0);
    age(&silent, Duration::from_secs(3 * 3600));
    let told = list(&setup, &[], &root).exits(1);
    told.says("1 of 4 replicas need attention");
    let first = told.out.lines().nth(1).unwrap();
    assert!(first.starts_with("! tenants/eu/c.db"), "{}", told.out);
    told.prints("silent for 3 h: until now nothing took longer than ");
    fs::write(setup.path("backup/tenants/eu/b.db/ebbtide.json"), "{").unwrap();
    // What was known before is believed for an hour.
    fs::remove_dir_all(setup.path("cache")).unwrap();
    let lines = list(&setup, &["--json"], &root).exits(1).json_lines();
    assert_eq!(names(&lines), [NAMES[2], NAMES[3], NAMES[0], NAMES[1]]);
    assert!(lines[0]["error"].as_str().unwrap().contains("ebbtide.json"), "{}", lines[0]);
    assert_eq!([&lines[1]["attention"], &lines[2]["attention"]], [true, false]);
}

#[test]
fn the_history_is_counted_and_read_on_from_where_it_was() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let root = setup.replica.clone();
    tenants(&setup, &root);
    let database = setup.text("apps-shop.db");
    // Written while nobody follows, and the log is gone: a gap.
    let app = setup.other_app("apps-shop.db");
    app.insert(3, 700);
    app.checkpoint("TRUNCATE");
    let replica = root.replace('?', "/apps/shop?");
    setup.run(&["replicate", "--once", &database, &replica]).exits(0);
    let lines = list(&setup, &["--history", "--json"], &root).exits(0).json_lines();
    let counts =
        |line: &Value| (line["history"]["entries"].as_u64(), line["history"]["gaps"].as_u64());
    let log = setup.run(&["log", "--json", &replica]).exits(0).json_lines();
    let summary = log.iter().find(|line| line["what"] == "summary").unwrap();
    assert_eq!(counts(&lines[0]), (summary["entries"].as_u64(), summary["gaps"].as_u64()));
    let gaps = lines[0]["history"]["gaps"].as_u64().unwrap();
    assert!(gaps >= 1, "{}", lines[0]);
    let known = list(&setup, &["--json"], &root).exits(0).json_lines();
    assert_eq!(known[0]["history"], lines[0]["history"]);
    app.insert(1, 700);
    setup.run(&["replicate", "--once", &database, &replica]).exits(0);
    let later = list(&setup, &["--history", "--json"], &root).exits(0).json_lines();
    assert!(counts(&later[0]).0 > counts(&lines[0]).0, "{}", later[0]);
    assert!(later[0]["history"]["gaps"].as_u64().unwrap() > gaps, "written while nobody looked");
    assert_eq!(counts(&later[1]), counts(&lines[1]));
}

#[test]
fn encrypted_replicas_are_listed_by_what_their_names_tell_and_by_more_with_an_identity() {
    let setup = Setup::new();
    setup.app().insert(3, 700);
    let identity = setup.text("owner.txt");
    let said = setup.run(&["keygen", "-o", &identity]).exits(0).out;
    let recipient = said.trim().strip_prefix("public key: ").unwrap().to_owned();
    let database = setup.database.to_str().unwrap();
    let replica = format!("{}/sealed", setup.replica);
    fs::create_dir(&setup.replica).unwrap();
    setup.run(&["replicate", "--once", "--recipient", &recipient, database, &replica]).exits(0);
    let blind = list(&setup, &["--json"], &setup.replica).exits(0).json();
    assert_eq!(
        (&blind["encrypted"], &blind["host"]),
        (&Value::Bool(true), &Value::Null),
        "{blind}"
    );
    assert!(blind["newest_txid"].is_string() && blind["newest_time"].is_null(), "{blind}");
    // What was found without the identity is not all that there is.
    let seeing = list(&setup, &["--json", "--identity", &identity], &setup.replica);
    let seeing = seeing.exits(0).json();
    assert!(seeing["newest_time"].is_string() && seeing["host"].is_string(), "{seeing}");
    assert!(seeing["database"].as_str().unwrap().ends_with("app.db"), "{seeing}");
}

#[test]
fn there_may_be_nothing_and_the_address_may_be_wrong() {
    let setup = Setup::new();
    list(&setup, &[], &setup.text("none")).exits(3).says("there is no replica in");
    drill(&setup, &[], &setup.text("none")).exits(3).says("there is no replica in");
    list(&setup, &[], "gs://bucket").exits(2);
    setup.run(&["list", "--history"]).exits(2);
    setup.run(&["drill", "--within", "1h", &setup.replica]).exits(2).says("/**");
}

#[test]
fn drills_of_a_fleet_begin_with_the_oldest_and_end_in_time() {
    let setup = Setup::new();
    let root = setup.replica.clone();
    tenants(&setup, &root);
    let all = drill(&setup, &[], &root).exits(0);
    all.prints("4 replicas proved");
    let lines = list(&setup, &["--json"], &root).exits(0).json_lines();
    assert!(lines.iter().all(|line| line["last_proved"]["txid"].is_string()), "{lines:?}");
    // One byte is more than nothing: the first is drilled, and the others are left.
    let first = drill(&setup, &["--budget", "1"], &root).exits(0);
    first.prints("1 replica proved").prints("3 replicas are left for the next time");
    let place = |ended: &Ended| ended.out.split(": proved").next().unwrap().to_owned();
    let second = drill(&setup, &["--budget", "1"], &root).exits(0);
    assert_ne!(place(&first), place(&second));
    drill(&setup, &["--within", "0s"], &root).exits(0).prints("4 replicas are left");
    damage_newest(&setup.path("backup/tenants/eu/b.db"));
    let broken = drill(&setup, &[], &root).exits(4);
    broken.says("1 of 4 replicas were not proved");
    broken.prints("tenants/eu/b.db: not proved: ").prints("3 replicas proved");
    let listed = list(&setup, &[], &root).exits(1);
    listed.prints("failed: ").says("1 of 4 replicas need attention");
    let lines = list(&setup, &["--json"], &root).exits(1).json_lines();
    assert_eq!(
        (&lines[0]["name"], &lines[0]["attention"]),
        (&json!("tenants/eu/b.db"), &json!(true))
    );
    assert!(lines[0]["drill_failed"]["error"].is_string(), "{lines:?}");
    assert!(lines[1..].iter().all(|line| line["attention"] == false), "{lines:?}");
}
