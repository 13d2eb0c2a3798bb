//! Drills as people and a running process make them. Would catch one that says yes to a replica that does not restore, one
//! that fills the directory for temporary files, and one that nobody hears of.

use std::fs;
use std::time::{Duration, Instant};

use ebbtide_fault::DIED;
use serde_json::Value;

use crate::support::{Ended, Setup, Sidecar, damage_newest};
use crate::tidy::tree::tracked;

fn drill(setup: &Setup, more: &[&str]) -> Ended {
    let directory = setup.text("drills");
    fs::create_dir_all(&directory).unwrap();
    let database = setup.text("app.db");
    setup.run(&[&["drill", "--directory", &directory, &database], more].concat())
}

fn left(setup: &Setup) -> usize {
    fs::read_dir(setup.path("drills")).unwrap().count()
}

/// Damages the newest segment; its name.
fn damage(setup: &Setup) -> String {
    let newest = damage_newest(&setup.path("backup"));
    newest.file_name().unwrap().to_str().unwrap().to_owned()
}

fn waited(what: &str, mut found: impl FnMut() -> Option<Value>) -> Value {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_drill_says_what_it_has_restored_and_the_log_does_too() {
    Setup::in_each_form().into_iter().for_each(assert_drilled);
}

fn assert_drilled(setup: Setup) {
    let app = setup.app();
    app.insert(20, 700);
    setup.once().exits(0);
    app.insert(5, 700);
    setup.once().exits(0);
    let head = setup.history().head().unwrap().to_string();
    let proved = drill(&setup, &["--json"]).exits(0).json();
    assert_eq!(proved["proved"]["txid"], head.as_str(), "{proved}");
    assert_eq!(proved["proved"]["compared"], true, "{proved}");
    assert_eq!(proved["failed"], Value::Null, "{proved}");
    assert!(proved["proved"]["older"]["txid"].as_str().unwrap() < head.as_str(), "{proved}");
    let what = proved["proved"]["what"].as_str().unwrap();
    assert_eq!(what, "restored to a file; integrity_check ok");
    assert_eq!(left(&setup), 0);
    let said = format!("proved txid {head} of ");
    setup.run(&["log", &setup.text("app.db")]).exits(0).prints(&said);
    let log = setup.run(&["log", "--json", &setup.text("app.db")]).exits(0).json_lines();
    let shown: Vec<_> = log.iter().filter(|line| line["what"] == "drill").collect();
    assert_eq!(shown[0]["proved"], proved["proved"]);
    // By the address of the replica alone, nothing of a live database is known.
    let alone = setup.run(&["drill", "--json", "--no-file", &setup.replica]).exits(0).json();
    assert_eq!(alone["proved"]["compared"], false, "{alone}");
    assert_eq!(alone["proved"]["what"], "every page fetched and hashed", "{alone}");
}

#[test]
fn a_drill_of_a_damaged_replica_fails_and_is_remembered() {
    let (setup, app) = Setup::with_rows(20);
    setup.once().exits(0);
    drill(&setup, &[]).exits(0);
    app.insert(5, 700);
    setup.once().exits(0);
    let damaged = damage(&setup);
    drill(&setup, &[]).exits(4).says(&damaged);
    assert_eq!(left(&setup), 0);
    setup.run(&["log", &setup.text("app.db")]).prints("failed: ");
}

/// Killed at each place, a drill leaves at most a file, which the next one removes.
#[test]
fn a_drill_that_is_killed_leaves_nothing_that_the_next_one_does_not_remove() {
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    let source = tracked(".rs").find(|(path, _)| path == "crates/restore/src/drill.rs").unwrap().1;
    let places = source.split("point(\"").skip(1).map(|call| call.split('"').next().unwrap());
    let places: Vec<&str> = places.collect();
    assert!(places.len() >= 4, "{places:?}");
    let directory = setup.text("drills");
    fs::create_dir_all(&directory).unwrap();
    let mut left_over = 0;
    for place in places {
        let database = setup.text("app.db");
        let mut command = setup.command(&["drill", "--directory", &directory, &database]);
        command.env("FAILPOINTS", format!("{place}=1"));
        assert!(Ended::of(&mut command).said.contains(DIED), "{place}");
        left_over += left(&setup);
        drill(&setup, &[]).exits(0);
        assert_eq!(left(&setup), 0, "{place}");
    }
    assert!(left_over > 0, "no kill came while there was a file");
}

#[test]
fn a_running_process_drills_by_itself_and_a_failure_needs_attention() {
    let setup = Setup::new();
    let app = setup.app();
    app.insert(20, 700);
    fs::create_dir_all(setup.path("drills")).unwrap();
    // What an earlier process was killed over.
    fs::write(setup.path("drills/.ebbtide-drill-0011223344556677"), "left").unwrap();
    let keys = format!("drill = \"1s\"\ndrill-directory = {:?}", setup.text("drills"));
    let config = setup.configure("", &keys);
    let sidecar = Sidecar::start_command(&mut setup.command(&[
        "replicate",
        "--log-format",
        "json",
        "--config",
        &config,
    ]));
    let proved = || Some(setup.report()["last_proved"].clone()).filter(|proved| !proved.is_null());
    let first = waited("the first drill", proved);
    assert_eq!(first["what"], "restored to a file; integrity_check ok", "{first}");
    assert_eq!(first["compared"], true, "{first}");
    assert_eq!(setup.report()["attention"], serde_json::json!([]));
    app.insert(5, 700);
    setup.sync();
    let head = setup.report()["durable_txid"].as_str().unwrap().to_owned();
    waited("a drill of what was committed since", || {
        proved().filter(|proved| proved["txid"].as_str() >= Some(&head))
    });
    setup.run(&["status"]).exits(0).prints("proved txid ");
    let damaged = damage(&setup);
    let why = waited("the failure", || {
        let report = setup.report();
        (report["attention"] == serde_json::json!(["drill"])).then_some(report)
    });
    assert!(why["drill_trouble"]["error"].as_str().unwrap().contains(&damaged), "{why}");
    setup.run(&["status"]).exits(1).prints("the drill at ");
    // It ends at once, whatever is under way, and leaves no file.
    let begun = Instant::now();
    assert_eq!(sidecar.stop(), 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(left(&setup), 0);
}
