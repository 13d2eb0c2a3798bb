//! `ebbtide dump`, `export` and `fixture`: of a file and of a state of a replica, where results go, and exit codes.

use std::fs;

use rusqlite::Connection;

use crate::support::Setup;

/// A database with a column that only a person can give a type.
fn doubtful(setup: &Setup) {
    let database = Connection::open(setup.path("doubtful.db")).unwrap();
    let sql = "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), ('toto'); CREATE TABLE \"u/v\" (b TEXT); INSERT INTO \"u/v\" VALUES ('x');
               CREATE TABLE w (c); INSERT INTO w VALUES (NULL), ('')";
    database.execute_batch(sql).unwrap();
}

#[test]
fn t31_what_needs_a_word_ends_with_6_and_writes_nothing() {
    let setup = Setup::new();
    doubtful(&setup);
    let (source, script, report) =
        (setup.text("doubtful.db"), setup.text("out.sql"), setup.text("report.json"));
    let refused =
        setup.run(&["export", "--format", "postgres", "--report", &report, &source]).exits(6);
    refused.says("--cast 't.a=text'");
    assert_eq!(refused.out, "", "psql would load it");
    assert!(fs::read_to_string(&report).unwrap().contains("\"kind\": \"refused\""));
    setup.run(&["export", "--format", "postgres", "-o", &script, &source]).exits(6);
    assert!(!setup.path("out.sql").exists());
    let word = ["export", "--format", "postgres", "--cast", "t.a=text", "-o", &script, &source];
    setup.run(&word).exits(0);
    assert!(
        fs::read_to_string(&script)
            .unwrap()
            .contains("COPY \"t\" (\"a\") FROM stdin;\n1\ntoto\n\\.\n")
    );
    setup.run(&word).exits(2).says("exists");
    setup
        .run(&["export", "--format", "csv", "--cast", "t.a=text", &source])
        .exits(2)
        .says("--cast");
    setup
        .run(&["export", "--format", "postgres", "--cast", "t.b=text", &source])
        .exits(2)
        .says("t.b");
    setup.run(&["export", "--format", "csv", "--table", "none", &source]).exits(2).says("none");
}

#[test]
fn several_tables_go_into_a_directory_that_appears_when_it_is_whole() {
    let setup = Setup::new();
    doubtful(&setup);
    let (source, directory) = (setup.text("doubtful.db"), setup.text("tables"));
    setup.run(&["export", "--format", "csv", &source]).exits(2).says("name a directory");
    setup
        .run(&["export", "--format", "csv", "--output", &directory, &source])
        .exits(2)
        .says("u/v.csv");
    assert!(!setup.path("tables").exists());
    let names = || {
        let entries = fs::read_dir(setup.path("")).unwrap();
        entries
            .filter(|entry| {
                entry.as_ref().unwrap().file_name().to_string_lossy().contains("ebbtide-new")
            })
            .count()
    };
    assert_eq!(names(), 0, "nothing is left behind");
    let some = [
        "export", "--format", "json", "--table", "t", "--table", "w", "--output", &directory,
        &source,
    ];
    setup.run(&some).exits(0);
    let read = |name: &str| fs::read_to_string(setup.path("tables").join(name)).unwrap();
    assert_eq!(read("t.jsonl"), "{\"a\":1}\n{\"a\":\"toto\"}\n");
    assert_eq!(read("w.jsonl"), "{\"c\":null}\n{\"c\":\"\"}\n");
    setup.run(&some).exits(2).says("exists");
    let one = setup
        .run(&["export", "--format", "csv", "--table", "w", "--null", "NULL", &source])
        .exits(0);
    assert_eq!(one.out, "c\r\nNULL\r\n\r\n");
}

/// Any state of a replica is taken elsewhere as the file that it was.
#[test]
fn a_state_of_a_replica_is_taken_elsewhere_as_the_file_that_it_was() {
    let setup = Setup::new();
    let app = setup.app();
    app.execute_batch("CREATE TABLE kinds (id INTEGER PRIMARY KEY, v); INSERT INTO kinds (v) VALUES (0.1), (x'00'), ('a' || char(0)), (9e999)").unwrap();
    app.insert(1, 100);
    setup.once().exits(0);
    let (restored, replica) = (setup.text("restored.db"), setup.replica.clone());
    let then = setup.restore(&["--json", "-o", &restored]).exits(0).json();
    let txid = then["txid"].as_str().unwrap().to_owned();
    app.execute_batch("DELETE FROM kinds; DROP TABLE t").unwrap();
    setup.once().exits(0);
    let at = format!("txid:{txid}");
    let dump = |args: &[&str]| setup.run(&[&["dump"], args].concat()).exits(0).out;
    let (of_file, of_state) = (dump(&[&restored]), dump(&["--at", &at, &replica]));
    assert!(of_file.contains("CREATE TABLE kinds") && of_file == of_state);
    let export = |args: &[&str]| {
        setup
            .run(&[&["export", "--format", "json", "--table", "kinds"], args].concat())
            .exits(0)
            .out
    };
    assert_eq!(export(&[&restored]), export(&["--at", &at, &replica]));
    assert_eq!(export(&[&replica]), "", "the newest state");
    let (a, b) = (setup.text("a.db"), setup.text("b.db"));
    setup.run(&["fixture", "-o", &a, &restored]).exits(0).says("");
    setup.run(&["fixture", "-o", &b, "--at", &at, &replica]).exits(0);
    assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap());
    setup.run(&["fixture", "-o", &a, &restored]).exits(2).says("exists");
    setup.run(&["dump", "--at", "txid:ffff", &replica]).exits(3);
}
