//! A real Prometheus, where there is one, and what examples/monitoring has for it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::tidy::tree;

use super::metrics::documented;

const MONITORING: &str = "examples/monitoring";

/// Whether a program is installed. With `EBBTIDE_TEST_PROMETHEUS` set it has to be.
pub(super) fn is_there(test: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|place| place.join(program).is_file());
    assert!(
        found || std::env::var_os("EBBTIDE_TEST_PROMETHEUS").is_none(),
        "{test} needs {program}, and EBBTIDE_TEST_PROMETHEUS is set"
    );
    if !found {
        eprintln!("NOT RUN: {test}: there is no {program} here");
    }
    found
}

/// The words of a text that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        word.starts_with("ebbtide_") && word.len() > "ebbtide_".len()
            || word.starts_with("process_")
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Catches a rule or a panel that asks for a metric which is not there, and is silent for ever.
#[test]
fn rules_and_dashboard_name_metrics_that_are_there() {
    let documented = documented();
    let is_known = |name: &str| {
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        documented.contains_key(name)
            || histogram.and_then(|name| documented.get(name)).is_some_and(|it| it.0 == "histogram")
    };
    let mut used = BTreeSet::new();
    for file in ["alerts.yml", "alerts-test.yml", "dashboard.json", "README.md"] {
        let names = metrics_in(&tree::read(&format!("{MONITORING}/{file}")));
        let unknown: Vec<&String> = names.iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        used.extend(names);
    }
    assert!(used.len() > 30, "{used:?}");
    let dashboard: Value =
        serde_json::from_str(&tree::read(&format!("{MONITORING}/dashboard.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let cases = tree::read(&format!("{MONITORING}/alerts-test.yml"));
    for line in tree::read(&format!("{MONITORING}/alerts.yml")).lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(cases.contains(name), "{name} has no case");
        }
    }
}

#[test]
fn the_alert_rules_pass_their_cases() {
    if !is_there("the_alert_rules_pass_their_cases", "promtool") {
        return;
    }
    let monitoring = tree::root().join(MONITORING);
    for (what, file) in
        [(["test", "rules"], "alerts-test.yml"), (["check", "config"], "prometheus.yml")]
    {
        let mut promtool = Command::new("promtool");
        let ended = promtool.args(what).arg(file).current_dir(&monitoring).output().unwrap();
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert!(ended.status.success(), "{said}");
    }
}
