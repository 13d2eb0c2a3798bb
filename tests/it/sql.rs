//! `ebbtide sql`: the past, asked from a shell.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Setup, command};

/// Entries: claim 1, resync 2 with three orders; claim 3, resync 4 with one of them.
fn orders() -> Setup {
    let setup = Setup::new();
    let app = setup.app();
    app.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total REAL);
         INSERT INTO orders VALUES (1, 'paid', 19.5), (2, 'open', NULL), (3, 'a,\"b\"', 1.0)",
    )
    .unwrap();
    setup.once().exits(0);
    app.execute_batch("DELETE FROM orders WHERE id < 3").unwrap();
    setup.once().exits(0);
    setup
}

fn sql(setup: &Setup, args: &[&str]) -> Ended {
    setup.run(&[&["sql"], args].concat())
}

#[test]
fn the_past_is_asked_by_entry_by_time_and_as_of_now() {
    let setup = orders();
    let count = "SELECT count(*) AS orders FROM orders";
    for (at, expected) in [("txid:2", 3), ("before:4", 3), ("txid:4", 1), ("now", 1), ("0s ago", 1)]
    {
        let answer = sql(&setup, &["--at", at, &setup.replica, count]).exits(0);
        assert_eq!(answer.out, format!("orders\n------\n{expected:>6}\n"), "{at}");
    }
    let answer = sql(&setup, &[&setup.replica, count]).exits(0);
    answer.says("note: main is txid 0000000000000004 of ").says(", read from sound blocks");
    let rows = "SELECT * FROM orders ORDER BY id";
    let answer = sql(&setup, &["--at", "txid:2", &setup.replica, rows]).exits(0);
    let table = "id  status  total\n--  ------  -----\n 1  paid     19.5\n 2  open    NULL\n 3  a,\"b\"     1.0\n";
    assert_eq!(answer.out, table);
}

#[test]
fn rows_are_printed_as_csv_and_as_json_lines() {
    let setup = orders();
    let rows = "SELECT *, x'01ff' AS b FROM orders ORDER BY id";
    let answer = sql(&setup, &["--at", "txid:2", "--csv", &setup.replica, rows]).exits(0);
    let csv = "id,status,total,b\r\n1,paid,19.5,x'01ff'\r\n2,open,,x'01ff'\r\n3,\"a,\"\"b\"\"\",1.0,x'01ff'\r\n";
    assert_eq!(answer.out, csv);
    let asked = ["--at", "txid:2", "--json", "--prove", &setup.replica, rows];
    let lines = sql(&setup, &asked).exits(0);
    assert!(
        lines
            .out
            .contains("{\"id\":1,\"status\":\"paid\",\"total\":19.5,\"b\":{\"blob\":\"01ff\"}}"),
        "{}",
        lines.out
    );
    let lines = lines.json_lines();
    assert_eq!(lines.len(), 4);
    let state = &lines[0]["states"][0];
    assert_eq!((&state["schema"], &state["txid"]), (&"main".into(), &"0000000000000002".into()));
    assert_eq!(state["proof"], "page");
    assert_eq!(lines[2]["total"], serde_json::Value::Null);
}

#[test]
fn two_states_are_compared_in_one_query() {
    let setup = orders();
    let lost = "SELECT id FROM main.orders EXCEPT SELECT id FROM later.orders";
    let args = ["--at", "before:4", "--attach", "later=txid:4", "--csv", &setup.replica, lost];
    let answer = sql(&setup, &args).exits(0);
    assert_eq!(answer.out, "id\r\n1\r\n2\r\n");
    answer.says("note: later is txid 0000000000000004");
    sql(&setup, &["--attach", "main=now", &setup.replica, lost])
        .exits(2)
        .says("cannot be the name");
}

#[test]
fn rows_of_the_past_are_given_back_to_the_live_database() {
    let setup = orders();
    let live = setup.text("app.db");
    let back = "INSERT INTO orders SELECT * FROM \"then\".orders WHERE id = 2";
    let args = ["--at", "before:4", "--with", &live, &setup.replica, back];
    sql(&setup, &args).exits(1).says("readonly");
    sql(&setup, &[&args[..4], &["--write"], &args[4..]].concat())
        .exits(0)
        .says("note: 1 rows changed");
    let log = fs::metadata(setup.path("app.db-wal")).unwrap();
    assert!(log.len() > 0, "the last close has left the log");
    let rows: String = setup
        .app()
        .query_row("SELECT group_concat(id || status) FROM orders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, "2open,3a,\"b\"");
    let gone = "DELETE FROM \"then\".orders";
    sql(&setup, &[&args[..4], &["--write", &setup.replica, gone]].concat()).exits(1);
}

#[test]
fn a_script_comes_from_standard_input_and_ends_with_its_first_error() {
    let setup = orders();
    let mut command = setup.command(&["sql", "--csv", "--at", "txid:2", &setup.replica]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let script = "SELECT 'a;\nb' AS x;\nCREATE TEMP TABLE own AS SELECT id FROM orders;
                  SELECT sum(id) AS s FROM own;\nSELECT missing;\nSELECT 2 AS two;\n";
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "x\r\n\"a;\nb\"\r\ns\r\n6\r\n");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("no such column: missing"), "{said}");
}

#[test]
fn exit_codes_of_sql_mean_what_they_say() {
    let setup = orders();
    let count = "SELECT count(*) FROM orders";
    sql(&setup, &["--at", "someday", &setup.replica, count]).exits(2).says("is no time");
    sql(&setup, &["--write", &setup.replica, count]).exits(2);
    sql(&setup, &["--at", "txid:99", &setup.replica, count]).exits(3);
    sql(&setup, &["--at", "2020-01-01T00:00:00Z", &setup.replica, count]).exits(3);
    sql(&setup, &[&setup.text("nowhere"), count]).exits(3).says("no replica");
    sql(&setup, &[&setup.replica, "SELEC 1"]).exits(1).says("syntax error");
    let local = ["sql", "--at", "2026-11-21 09:30", &setup.replica, count];
    let ended = Ended::of(setup.command(&local).env("TZ", "Nowhere/Atlantis"));
    ended.exits(2).says("TZ names a time zone that this system does not know");
}

#[test]
fn t03_a_damaged_object_is_named_by_the_command() {
    let setup = orders();
    let name = "snap/0000000000000002.seg";
    let path = setup.path("backup").join(name);
    let mut body = fs::read(&path).unwrap();
    body[200] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, body).unwrap();
    let args = ["--at", "txid:2", &setup.replica, "SELECT * FROM orders"];
    let ended = sql(&setup, &args).exits(4);
    ended.says(name);
    assert!(!ended.said.contains("disk I/O error"), "{}", ended.said);
}

/// A query that computes, and a store that takes the connection and never answers.
#[test]
fn t05_ctrl_c_ends_a_command_within_a_second() {
    let setup = orders();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n";
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("s3://bucket/app?endpoint=http://{}", silent.local_addr().unwrap());
    let runs = [command(&["sql", &setup.replica, endless]), {
        let mut command = command(&["sql", &address, "SELECT 1"]);
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
        command.env("AWS_REGION", "us-east-1");
        command
    }];
    for mut run in runs {
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(child.try_wait().unwrap(), None, "it is still at it");
        let begun = Instant::now();
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let status = child.wait().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{status}");
    }
}
