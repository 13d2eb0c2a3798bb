//! What a month costs, and what is done to keep it down.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use ebbtide_testkit::s3_server::S3Server;
use serde_json::Value;

use crate::support::{Ended, Setup, Sidecar};

fn cost(setup: &Setup, file: &str) -> Value {
    setup.run(&["cost", "--json", "--config", file]).exits(0).json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn what_is_stored_may_be_put_and_was_measured_is_shown() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    let file = setup.configure("", "puts-per-second = 0.5\ndrill = \"1d\"");
    let before = cost(&setup, &file);
    assert_eq!(
        (before["stored_objects"].clone(), before["measured"].clone()),
        (0.into(), Value::Null)
    );
    let mut replicate = setup.command(&["replicate", "--log-format", "json", "--config", &file]);
    let sidecar = Sidecar::start_command(&mut replicate);
    app.insert(20, 5000);
    setup.sync();
    let shown = cost(&setup, &file);
    assert!(number(&shown["stored_objects"]) >= 2.0, "{shown}");
    assert!(number(&shown["stored_bytes"]) > 100_000.0, "{shown}");
    // Half a put a second, at five dollars a million.
    assert!((number(&shown["puts_most_dollars"]) - 6.48).abs() < 1e-6, "{shown}");
    assert!(
        number(&shown["drill_bytes"]) > 0.0 && number(&shown["drill_dollars"]) > 0.0,
        "{shown}"
    );
    let measured = &shown["measured"];
    assert!(number(&measured["writes"]) >= 3.0 && number(&measured["sent_bytes"]) > 100_000.0);
    assert!(number(&measured["dollars"]) > 0.0 && number(&measured["seconds"]) > 0.0);
    let report = setup.report();
    assert!(number(&report["requests"]["put"]) >= 2.0, "{report}");
    let text = setup.run(&["cost", "--config", &file]).exits(0);
    text.prints("prices of 2026-11").prints("stored now").prints("puts-per-second = 0.5");
    setup.assert_exact_after(sidecar);
    setup.run(&["cost", "--config", &file, "elsewhere.db"]).exits(2).says("no database of the");
}

/// Would catch a forecast that is of another policy than the configuration's, or made of a minute.
#[test]
fn what_will_be_stored_is_foreseen_by_what_came_and_by_what_is_kept() {
    let setup = Setup::new();
    let app = setup.app();
    let file = setup.configure("", "");
    for _ in 0..2 {
        app.insert(100, 1000);
        setup.run(&["replicate", "--once", "--config", &file]).exits(0);
    }
    let young = cost(&setup, &file);
    assert_eq!(young["forecast"], Value::Null, "{young}");
    setup.run(&["cost", "--config", &file]).exits(0).prints("too young to tell");
    let log = Path::new(&setup.replica).join("log");
    for entry in fs::read_dir(log).unwrap() {
        let file = File::open(entry.unwrap().path()).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - Duration::from_secs(2 * 86_400)).unwrap();
    }
    let growing = &cost(&setup, &file)["forecast"];
    assert!((number(&growing["days_measured"]) - 2.0).abs() < 0.1, "{growing}");
    assert!(number(&growing["bytes_a_day"]) > 40_000.0, "{growing}");
    assert_eq!(growing["bytes"], Value::Null, "{growing}");
    let kept = setup.configure("", "keep = { every-commit = \"7d\", daily = \"100d\" }");
    let ending = &cost(&setup, &kept)["forecast"];
    let least = 99.0 * number(&growing["bytes_a_day"]);
    assert!(number(&ending["bytes"]) > least, "{ending}");
    setup.run(&["cost", "--config", &kept]).exits(0).prints("has thinned for 100 days");
}

#[test]
fn prices_and_a_budget_are_the_configurations() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let prices = "[prices]\nwrites-per-million = 10.0\n";
    let file = setup.configure(prices, "budget = \"5 USD/month\"");
    let shown = cost(&setup, &file);
    assert!((number(&shown["puts_most_dollars"]) - 4.5).abs() < 1e-6, "{shown}");
    assert!((number(&shown["puts_most"]) - 450_000.0).abs() < 1.0, "{shown}");
    let values = setup.run(&["config", "show", "--json", &file]).exits(0).json();
    assert_eq!(values["values"]["budget"]["value"], "5 USD/month");
    setup.run(&["cost", "--config", &file]).exits(0).prints("budget = \"5 USD/month\"");
    for (global, more, said) in [
        ("", "budget = \"5 USD/month\"\nputs-per-second = 1.0", "leave one of them out"),
        ("", "budget = \"5\"", "5 USD/month"),
        ("", "budget = \"0.001 USD/month\"", "pays for less than a put"),
        ("[prices]\nwrites-per-million = 0.0\n", "budget = \"1 USD/month\"", "cost nothing"),
        ("[prices]\nwrites-per-million = -1.0\n", "", "must be 0 or more"),
        ("[prices]\nwrites-per-milion = 1.0\n", "", "did you mean `writes-per-million`?"),
        ("bandwidth-max = \"fast\"", "", "bandwidth-max"),
    ] {
        let file = setup.configure(global, more);
        setup.run(&["config", "check", &file]).exits(2).says(said);
    }
}

/// Would catch a limit that is configured and holds nothing back.
#[test]
fn what_is_sent_and_fetched_takes_as_long_as_its_limit_says() {
    let setup = Setup::new();
    let app = setup.app();
    app.insert(100, 10_000);
    let file = setup.configure("bandwidth-max = \"500 kB\"", "");
    let begun = Instant::now();
    setup.run(&["replicate", "--once", "--config", &file]).exits(0);
    let took = begun.elapsed();
    // A megabyte that nothing compresses.
    assert!(took > Duration::from_millis(1500), "{took:?}");
    setup.assert_exact();
    let begun = Instant::now();
    let output = setup.text("restored.db");
    let ended: Ended = setup.restore(&["--bandwidth", "500 kB", "-o", &output]);
    ended.exits(0);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1500), "{took:?}");
}
