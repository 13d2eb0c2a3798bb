//! A real Prometheus, where there is one, and what examples/monitoring has for it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Running, Setup, wait_until};
use crate::tidy::tree;

use super::metrics::documented;
use super::{Client, Shown};

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

/// What Prometheus has of a metric: its series with their values.
fn query(prometheus: &Client, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/query?query={query}");
    // It is not ready as soon as it listens.
    let answer: Value = serde_json::from_str(&prometheus.plain(&path)).unwrap_or_default();
    answer["data"]["result"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_real_prometheus_scrapes_a_real_run() {
    if !is_there("a_real_prometheus_scrapes_a_real_run", "prometheus") {
        return;
    }
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    // As in the example, but at the ports of this test, and more often.
    let monitoring = tree::root().join(MONITORING);
    let example = fs::read_to_string(monitoring.join("prometheus.yml")).unwrap();
    let config = example
        .replace("127.0.0.1:9094", shown.client.address())
        .replace("15s", "1s")
        .replace("alerts.yml", monitoring.join("alerts.yml").to_str().unwrap());
    assert!(config.contains(shown.client.address()), "{example}");
    fs::write(setup.path("prometheus.yml"), config).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let prometheus = Client::Tcp(address.clone());
    let _running = start(&setup.path("."), &address);
    wait_until("Prometheus to have scraped", || {
        prometheus.is_up() && !query(&prometheus, "up==1").is_empty()
    });
    app.insert(5, 100);
    setup.sync();
    let durable = setup.report()["durable_txid"].as_str().unwrap().to_owned();
    let durable = u32::from_str_radix(&durable, 16).unwrap().to_string();
    wait_until("the newest txid to be scraped", || {
        let series = query(&prometheus, "ebbtide_durable_txid");
        series.iter().any(|it| it["value"][1] == durable.as_str())
    });
    let [series] = &query(&prometheus, "ebbtide_healthy")[..] else { panic!("one database") };
    assert_eq!(series["metric"]["database"], setup.text("app.db"));
    assert_eq!(series["metric"]["job"], "ebbtide");
    let buckets = query(&prometheus, "ebbtide_store_request_duration_seconds_bucket");
    assert!(buckets.iter().any(|it| it["metric"]["le"] == "+Inf"), "{buckets:?}");
    // All of them are there, and none was refused.
    let names = query(&prometheus, "count({__name__=~\"ebbtide_.%2B\"})by(__name__)");
    assert!(names.len() > 25, "{names:?}");
    assert_eq!(shown.sidecar.stop(), 0);
}

fn start(directory: &Path, address: &str) -> Running {
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("series").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running::start(&mut command)
}
