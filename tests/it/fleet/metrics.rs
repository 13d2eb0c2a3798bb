//! What drills of a fleet leave for Prometheus. Would catch a replica that no metric tells of, because it was not drilled or cannot
//! be read, a number that is another than `list` has, and a file that is read while it is written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ebbtide_replica::Timestamp;

use super::{drill, list, tenants};
use crate::support::{Setup, damage_newest};
use crate::watching::{Samples, documented, is_silent, kinds};

#[test]
fn drills_leave_metrics_of_every_replica() {
    let setup = Setup::new();
    let root = setup.replica.clone();
    tenants(&setup, &root);
    fs::create_dir(setup.path("textfiles")).unwrap();
    let file = setup.text("textfiles/ebbtide.prom");
    let metrics = |more: &[&str], code: i32| {
        drill(&setup, &[&["--metrics", &file], more].concat(), &root).exits(code);
        let text = fs::read_to_string(&file).unwrap();
        is_silent("drills_leave_metrics_of_every_replica", &text);
        Samples::parse(&text)
    };
    let named = |metric: &str, name: &str| format!("{metric}{{replica=\"{root}/{name}\"}}");
    // One byte is more than nothing: the first is drilled, and the others are left.
    let first = metrics(&["--budget", "1"], 0);
    let is_fleet = |name: &str| name.starts_with("ebbtide_fleet_");
    assert_eq!(first.types, kinds(&documented(), is_fleet), "and the table of docs/operations.md");
    assert_eq!(first.value("ebbtide_fleet_replicas"), 4.0);
    assert_eq!(first.value("ebbtide_fleet_drills_left"), 3.0);
    let proved = |samples: &Samples, name: &str| {
        samples.find(&named("ebbtide_fleet_proved_timestamp_seconds", name))
    };
    let all = super::NAMES;
    assert_eq!(all.iter().filter(|name| proved(&first, name).is_some()).count(), 1);
    assert!(all.iter().all(|name| first.value(&named("ebbtide_fleet_drill_failed", name)) == 0.0));
    let later = metrics(&[], 0);
    assert_eq!(later.value("ebbtide_fleet_drills_left"), 0.0);
    let lines = list(&setup, &["--json"], &root).exits(0).json_lines();
    for line in &lines {
        let (name, last) = (line["name"].as_str().unwrap(), &line["last_proved"]);
        let value = |metric: &str| later.value(&named(metric, name));
        assert_eq!(value("ebbtide_fleet_proved_timestamp_seconds"), seconds(&last["at"]), "{line}");
        assert_eq!(value("ebbtide_fleet_created_timestamp_seconds"), seconds(&line["created"]));
        assert_eq!(Some(value("ebbtide_fleet_drill_duration_seconds")), last["seconds"].as_f64());
        let fetched = last["bytes_fetched"].as_u64().unwrap();
        assert_eq!(value("ebbtide_fleet_drill_fetched_bytes"), fetched as f64);
        assert!(
            value("ebbtide_fleet_proved_timestamp_seconds")
                <= later.value("ebbtide_fleet_drills_timestamp_seconds")
        );
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "the collector is another user");
    assert_eq!(fs::read_dir(setup.path("textfiles")).unwrap().count(), 1, "nothing unfinished");
    // One has a damaged object, and one cannot be read at all.
    damage_newest(&setup.path("backup/tenants/eu/b.db"));
    fs::write(setup.path("backup/apps/shop/ebbtide.json"), "{").unwrap();
    fs::remove_dir_all(setup.path("cache")).unwrap();
    let broken = metrics(&[], 4);
    let failed = all.map(|name| broken.value(&named("ebbtide_fleet_drill_failed", name)));
    assert_eq!(failed, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(proved(&broken, all[2]), proved(&later, all[2]), "of the last that succeeded");
    assert!(proved(&broken, all[1]) > proved(&later, all[1]));
    assert_eq!(broken.find(&named("ebbtide_fleet_created_timestamp_seconds", all[0])), None);
}

/// A time as Prometheus has it.
fn seconds(time: &serde_json::Value) -> f64 {
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_micros() as f64 / 1e6
}

#[test]
fn a_place_that_metrics_cannot_go_is_said_before_any_drill() {
    let setup = Setup::new();
    tenants(&setup, &setup.replica);
    let nowhere = setup.text("no-such-directory/ebbtide.prom");
    let refused = drill(&setup, &["--metrics", &nowhere], &setup.replica).exits(1);
    refused.says("no-such-directory/ebbtide.prom");
    assert_eq!(refused.out, "", "nothing was drilled");
    setup.run(&["drill", "--metrics", &setup.text("x.prom"), &setup.replica]).exits(2).says("/**");
}
