//! When an answer changed, and what became of a row, asked of a replica that a running process writes.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::Setup;

/// A database whose every statement is a commit of its own that is durable before the next.
fn history(setup: &Setup, statements: &[&str]) -> Vec<String> {
    let app = Connection::open(&setup.database).unwrap();
    app.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total INTEGER); \
         CREATE TABLE lines (order_id INTEGER, number INTEGER, what TEXT, PRIMARY KEY (order_id, number)) WITHOUT ROWID; \
         INSERT INTO orders VALUES (41, 'paid', 5), (42, 'open', 1999); INSERT INTO lines VALUES (42, 1, 'tea')",
    )
    .unwrap();
    let sidecar = setup.follow();
    for statement in statements {
        app.execute_batch(statement).unwrap();
        setup.run(&["sync", "--wait", setup.database.to_str().unwrap()]).exits(0);
    }
    assert_eq!(sidecar.stop(), 0);
    let log = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let commits = log.iter().filter(|line| line["what"] == "commit");
    let txids: Vec<String> =
        commits.map(|line| line["txid"].as_str().unwrap().to_owned()).collect();
    txids[txids.len() - statements.len()..].to_vec()
}

const STATEMENTS: &[&str] = &[
    "UPDATE orders SET status = 'paid' WHERE id = 42",
    "INSERT INTO orders VALUES (43, 'open', 7)",
    "UPDATE lines SET what = 'coffee' WHERE order_id = 42",
    "DELETE FROM orders WHERE id = 42",
    "INSERT INTO orders VALUES (42, 'PAID', 1999)",
];

fn found(lines: &[Value]) -> Vec<(&str, &Value, &Value)> {
    let changes = lines.iter().filter(|line| line["what"] == "commit");
    changes
        .map(|line| {
            (line["txid"].as_str().unwrap(), &line["before"]["rows"], &line["after"]["rows"])
        })
        .collect()
}

#[test]
fn the_transactions_that_changed_an_answer_are_found_and_no_others() {
    let setup = Setup::new();
    let txids = history(&setup, STATEMENTS);
    let when = |more: &[&str]| {
        setup.run(&[&["when", "--json", &setup.replica], more].concat()).exits(0).json_lines()
    };
    let count = "SELECT count(*) FROM orders";
    let all = when(&[count]);
    let (two, three) = (json!([[2]]), json!([[3]]));
    let expected = [
        (txids[4].as_str(), &two, &three),
        (txids[3].as_str(), &three, &two),
        (txids[1].as_str(), &two, &three),
    ];
    assert_eq!(found(&all), expected);
    assert_eq!(all.last().unwrap()["is_all"], true);
    assert_eq!(found(&when(&["--falls", count])), expected[1..2]);
    assert_eq!(found(&when(&["--rises", "--limit", "1", count])), expected[..1]);
    let to = format!("before:{}", txids[4]);
    assert_eq!(found(&when(&["--to", &to, "--prove", count])), expected[1..]);
    let from = format!("txid:{}", txids[1]);
    assert_eq!(found(&when(&["--from", &from, count])), expected[..2]);
    let text = setup.run(&["when", &setup.replica, count]).exits(0);
    assert!(text.out.lines().next().unwrap().ends_with("2 → 3"), "{}", text.out);
    assert!(text.said.contains("3 changes from txid"), "{}", text.said);
    assert!(text.said.contains("read from sound blocks"), "{}", text.said);
}

#[test]
fn a_row_is_followed_by_its_key_whatever_the_key_is() {
    let setup = Setup::new();
    let txids = history(&setup, STATEMENTS);
    let blame =
        |more: &[&str]| setup.run(&[&["blame", &setup.replica], more].concat()).exits(0).out;
    let orders = blame(&["orders", "42"]);
    let told: Vec<&str> = orders.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let expected = [
        format!("{}  inserted  (42, 'PAID', 1999)", txids[4]),
        format!("{}  deleted   (42, 'paid', 1999)", txids[3]),
        format!("{}  changed   status 'open' → 'paid'", txids[0]),
    ];
    assert_eq!(told, expected);
    let lines = blame(&["lines", "42", "1"]);
    assert!(lines.trim_end().ends_with("changed   what 'tea' → 'coffee'"), "{lines}");
    assert_eq!(blame(&["orders", "41"]), "");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_to_do() {
    let setup = Setup::new();
    history(&setup, &STATEMENTS[..1]);
    let refusal = |args: &[&str], code| setup.run(args).exits(code).said;
    let replica = setup.replica.as_str();
    for (sql, why) in [
        ("SELECT random()", "random()"),
        ("SELECT 'now', datetime('now')", "time of day"),
        ("DELETE FROM orders", "has to be a query"),
        ("SELEC", "no SQL"),
        ("SELECT totl FROM orders", "no answer in any of the states: no such column: totl"),
    ] {
        let said = refusal(&["when", replica, sql], 2);
        assert!(said.contains(why), "{sql}: {said}");
    }
    assert!(refusal(&["blame", replica, "nothing", "1"], 2).contains("--to WHEN"));
    assert!(refusal(&["blame", replica, "lines", "1"], 2).contains("order_id, number"));
    let empty = setup.text("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(refusal(&["when", &empty, "SELECT 1"], 3).contains("no replica"));
}
