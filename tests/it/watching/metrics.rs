//! The metrics themselves.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};

use crate::support::{Setup, wait_until};
use crate::tidy::tree;

use super::{Samples, Shown};

/// The rows of the table in docs/operations.md: each metric with its type and its labels.
pub(crate) fn documented() -> BTreeMap<String, (String, String)> {
    let document = tree::read("docs/operations.md");
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        let [name, kind, labels, _] = cells[..] else { return None };
        let (name, kind) = (name.strip_suffix('`')?, kind.trim_matches('`'));
        let is_metric = ["gauge", "counter", "histogram"].contains(&kind);
        is_metric.then(|| (name.to_owned(), (kind.to_owned(), labels.replace('`', ""))))
    });
    rows.collect()
}

/// The types of some of them.
pub(crate) fn kinds(
    documented: &BTreeMap<String, (String, String)>,
    is_meant: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let meant = documented.iter().filter(|(name, _)| is_meant(name));
    meant.map(|(name, (kind, _))| (name.clone(), kind.clone())).collect()
}

#[test]
fn every_metric_is_told_of_and_each_that_is_told_of_is_there() {
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(3, 100);
    setup.sync();
    let text = shown.client.get("/metrics").ok();
    let samples = Samples::parse(&text);
    let documented = documented();
    let kinds = kinds(&documented, |name| !name.starts_with("ebbtide_fleet_"));
    assert_eq!(samples.types, kinds, "the metrics, and the table of docs/operations.md");
    assert!(kinds.len() > 40, "{} metrics", kinds.len());
    let is_label = |name: &str| documented.values().any(|(_, labels)| labels.contains(name));
    for name in text.split(['{', ',']).filter_map(|part| part.split_once("=\"")) {
        assert!(
            ["le"].contains(&name.0) || is_label(name.0),
            "the label {} is not told of",
            name.0
        );
    }
    let open = shown.client.ask(
        "GET",
        "/metrics",
        "localhost",
        "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5\r\n",
    );
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    let open = open.ok();
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert!(open.contains("# UNIT ebbtide_lag_seconds seconds\n"), "{open}");
    let family = |(name, kind): (&String, &String)| match kind == "counter" {
        true => (name.strip_suffix("_total").unwrap().to_owned(), kind.clone()),
        false => (name.clone(), kind.clone()),
    };
    assert_eq!(Samples::parse(&open).types, kinds.iter().map(family).collect());
    is_silent("every_metric_is_told_of_and_each_that_is_told_of_is_there", &text);
    assert_eq!(shown.sidecar.stop(), 0);
}

/// What promtool has to say of metrics: nothing.
pub(crate) fn is_silent(test: &str, text: &str) {
    if !super::prometheus::is_there(test, "promtool") {
        return;
    }
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    check.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!((checked.status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn metrics_say_what_the_status_says() {
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    let name = |metric: &str| format!("{metric}{{database=\"{}\"}}", setup.text("app.db"));
    let before = shown.metrics();
    for _ in 0..20 {
        app.insert(1, 100);
    }
    setup.sync();
    let (report, metrics) = (setup.report(), shown.metrics());
    let number = |key: &str| {
        let text = report[key].as_str().unwrap_or_else(|| panic!("{key}: {report}"));
        f64::from(u32::from_str_radix(text, 16).unwrap())
    };
    assert_eq!(metrics.value(&name("ebbtide_durable_txid")), number("durable_txid"));
    assert_eq!(metrics.value(&name("ebbtide_captured_txid")), number("captured_txid"));
    assert_eq!(metrics.value(&name("ebbtide_lag_seconds")), 0.0);
    assert_eq!(metrics.value(&name("ebbtide_healthy")), 1.0);
    assert_eq!(metrics.sum("ebbtide_attention", &[]), 0.0);
    assert_eq!(
        metrics.value(&name("ebbtide_segments_total")),
        report["segments"].as_f64().unwrap()
    );
    assert_eq!(metrics.value(&name("ebbtide_wal_bytes")), report["log_bytes"].as_f64().unwrap());
    let grew = |metric: &str| metrics.value(&name(metric)) - before.value(&name(metric));
    assert_eq!(grew("ebbtide_commits_total"), 20.0);
    let pages = grew("ebbtide_commit_pages_total");
    assert!(pages >= 20.0, "{pages}");
    assert_eq!(grew("ebbtide_commit_bytes_total"), pages * 4096.0);
    assert!(grew("ebbtide_store_sent_bytes_total") > 0.0);
    let puts = |samples: &Samples| {
        samples.sum("ebbtide_store_requests_total", &["kind=\"put\"", "outcome=\"ok\""])
    };
    assert!(puts(&metrics) - puts(&before) >= 1.0);
    let took = metrics.value("ebbtide_store_request_duration_seconds_count{kind=\"put\"}");
    assert_eq!(took, metrics.sum("ebbtide_store_requests_total", &["kind=\"put\""]));
    assert_eq!(metrics.value(&name("ebbtide_sessions_total")), 1.0);
    assert_eq!(metrics.value(&name("ebbtide_cost_per_month_dollars")), 0.0, "a directory is free");
    assert!(metrics.value("process_resident_memory_bytes") > 1e6);
    assert!(metrics.value("process_open_fds") > 3.0);
    let began = metrics.value("process_start_time_seconds");
    let now = ebbtide_testkit::writer::micros_now() as f64 / 1e6;
    assert!((0.0..3600.0).contains(&(now - began)), "{began} of {now}");
    assert_eq!(shown.sidecar.stop(), 0);
}

/// A name may have anything in it but a zero byte.
#[test]
fn a_hostile_name_is_one_label() {
    let hostile = "a\"} 1\n# HELP evil \\ {x=\"<b>.db";
    let setup = Setup::new().called(hostile, "backup");
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(1, 100);
    setup.sync();
    let text = shown.client.get("/metrics").ok();
    let samples = Samples::parse(&text);
    assert!(!samples.help.contains_key("evil"), "{text}");
    let escaped = setup.text(hostile).replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('\n', "\\n");
    assert_eq!(samples.value(&format!("ebbtide_healthy{{database=\"{escaped}\"}}")), 1.0);
    is_silent("a_hostile_name_is_one_label", &text);
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn readiness_waits_until_everything_is_followed() {
    let setup = Setup::new();
    let mut command = setup.replicate();
    let shown = Shown::spawn(command.args(["--wait", "--listen", "127.0.0.1:0"]));
    let waiting = || {
        let answer = shown.client.get("/readyz");
        assert_eq!(answer.status, 503, "{}", answer.body);
        answer.body
    };
    wait_until("it to be named", || waiting().contains(&setup.text("app.db")));
    shown.client.get("/healthz").ok();
    let _app = setup.app();
    shown.sidecar.wait_until_it_follows();
    wait_until("readiness", || shown.client.get("/readyz").status == 200);
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn an_outage_a_stop_of_writers_and_a_gap_are_counted() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(1, 100);
    setup.sync();
    server.script(|_: &Asked| Some(Fault::Refused(403, "AccessDenied")));
    app.insert(1, 100);
    let name = |metric: &str| format!("{metric}{{database=\"{}\"}}", setup.text("app.db"));
    wait_until("the outage to be seen", || {
        shown.metrics().value(&name("ebbtide_store_outage_seconds")) > 0.0
    });
    let during = shown.metrics();
    assert!(during.value(&name("ebbtide_lag_seconds")) > 0.0);
    assert_eq!(during.value(&name("ebbtide_healthy")), 0.0);
    assert_eq!(during.sum("ebbtide_attention", &["reason=\"store\""]), 1.0);
    assert!(during.sum("ebbtide_store_requests_total", &["outcome=\"denied\""]) >= 1.0);
    assert!(shown.client.get("/healthz").ok().contains("\"need_attention\":1"));
    server.script(|_| None);
    setup.sync();
    let after = shown.metrics();
    assert_eq!(after.value(&name("ebbtide_store_outage_seconds")), 0.0);
    assert_eq!(after.sum("ebbtide_attention", &[]), 0.0);
    assert!(after.value(&name("ebbtide_cost_per_month_dollars")) > 0.0);
    assert_eq!(after.value(&name("ebbtide_gaps_total")), 0.0);
    // Enough for checkpoints.
    app.insert(400, 50_000);
    setup.sync();
    wait_until("a checkpoint", || shown.metrics().sum("ebbtide_checkpoints_total", &[]) > 0.0);
    let stops = shown.metrics();
    let exclusive = stops.sum("ebbtide_checkpoints_total", &["kind=\"exclusive\""]);
    assert!(stops.value(&name("ebbtide_writer_wait_seconds_count")) >= exclusive);
    assert_eq!(shown.sidecar.stop(), 0);
    // A new log, so that what comes next was missed.
    drop(app);
    let app = setup.app();
    app.insert(1, 100);
    app.checkpoint("TRUNCATE");
    let shown = Shown::follow(&setup);
    assert_eq!(shown.metrics().value(&name("ebbtide_gaps_total")), 1.0);
    assert_eq!(shown.metrics().value(&name("ebbtide_forks_total")), 0.0);
    assert_eq!(shown.sidecar.stop(), 0);
}
