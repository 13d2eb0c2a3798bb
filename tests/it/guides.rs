//! The commands of the README and of the pages for users, word for word and in order, beside an application that writes,
//! and what they print. Catches a document that says what does not work, or not any more.
//!
//! `EBBTIDE_DRAW=1 cargo test --workspace --test it guides` has the pages show what is printed now.

mod application;
mod disasters;
mod exceptions;
mod machine;
mod manifests;
mod page;
mod printed;
mod reference;
mod rights;
mod users;

use std::fs;

use rusqlite::Connection;

use self::exceptions::{ADDRESS, IN_A_MOMENT, SKIPPED};
use self::machine::Machine;
use self::page::Page;
use super::tidy::tree::{read, tracked};
use crate::postgres;

/// All commands of a document.
fn commands(document: &str) -> Vec<String> {
    Page::open(document).commands()
}

/// The drill: customer 7's orders are deleted by the transaction 2a, while the application goes on.
#[test]
fn o25_the_guide_to_deleted_rows_works_as_it_stands_there() {
    let mut machine = Machine::new();
    machine.application.stop();
    machine.start_sidecar("ebbtide replicate app.db ./backup");
    let database = Connection::open(machine.path("app.db")).unwrap();
    database.busy_timeout(crate::support::PATIENCE).unwrap();
    let commit = |sql: &str| -> u64 {
        database.execute_batch(sql).unwrap();
        let synced = machine.shell("ebbtide sync --wait app.db").output().unwrap();
        assert!(synced.status.success(), "{}", String::from_utf8_lossy(&synced.stderr));
        let log = machine.shell("ebbtide log --json ./backup").output().unwrap();
        let lines = String::from_utf8(log.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        u64::from_str_radix(last["last_txid"].as_str().unwrap(), 16).unwrap()
    };
    let mut txid = commit(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, total REAL);
         INSERT INTO orders VALUES (1, 7, 10), (2, 8, 20), (3, 7, 30.5), (4, 7, 40), (5, 9, 50)",
    );
    assert!(txid < 0x28, "{txid}");
    while txid < 0x29 {
        txid = commit("INSERT INTO notes VALUES ('another')");
    }
    let gone = commit(
        "BEGIN; DELETE FROM orders WHERE customer = 7; INSERT INTO notes VALUES ('cleaned up'); COMMIT",
    );
    assert_eq!(gone, 0x2a);
    commit("INSERT INTO orders VALUES (6, 7, 60)");
    drop(database);
    let fell = machine
        .run("ebbtide when --falls ./backup 'SELECT count(*) FROM orders WHERE customer = 7'");
    assert!(String::from_utf8_lossy(&fell.stdout).contains("2a"), "{fell:?}");
    let list = machine.run("ebbtide log --changed orders ./backup");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("orders -3") && !list.contains("another"), "{list}");
    assert!(machine.follow("docs/guides/somebody-deleted-rows.md") >= 11);
    let database = Connection::open(machine.path("app.db")).unwrap();
    let sql = "SELECT group_concat(id || ' ' || customer || ' ' || total) FROM (SELECT * FROM orders ORDER BY id)";
    let rows: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, "1 7 10.0,2 8 20.0,3 7 30.5,4 7 40.0,5 9 50.0,6 7 60.0");
    machine.stop_sidecars();
}

#[test]
fn o25_the_guide_to_comparing_works_as_it_stands_there() {
    assert!(Machine::new().follow("docs/guides/comparing.md") >= 10);
}

/// With the configuration that stands there, too.
#[test]
fn o25_the_guide_to_what_is_kept_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/retention.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    assert!(all.len() >= 20);
    machine.application.stop();
    machine.stop_sidecars();
    let moved = machine.run("ebbtide restore -o moved.db ./elsewhere");
    assert!(moved.status.success());
    assert_eq!(machine.notes("moved.db"), machine.notes("app.db"), "it goes on there");
    let log = machine.run("ebbtide log ./elsewhere").stdout;
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("before-migration") && !log.contains("release-7"), "{log}");
}

/// With the configuration that stands there, too, at a port of the test's own.
#[test]
fn o25_the_guide_to_watching_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/watching.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(config.contains(ADDRESS), "{config}");
    let config = config.replace(ADDRESS, &machine.address);
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    assert!(machine.follow(GUIDE) >= 3);
    machine.application.stop();
    machine.stop_sidecars();
    // The other lines are those of the configuration, too.
    let more = text.split("```toml\n").nth(2).unwrap().split("```").next().unwrap();
    let whole = format!("{more}\n[[database]]\npath = \"app.db\"\nreplica = \"./backup\"\n");
    let config = ebbtide_config::Config::parse(&whole).unwrap();
    assert!(config.heartbeat.is_some() && config.webhook.is_some());
}

/// With a tenant that is there from the beginning.
#[test]
fn o25_the_guide_to_a_thousand_databases_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/a-thousand-databases.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    fs::create_dir_all(machine.path("tenants/first")).unwrap();
    assert!(machine.makes_database(
        "sqlite3 tenants/first/shop.db 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)'"
    ));
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    assert!(all.len() >= 18);
    machine.application.stop();
    machine.stop_sidecars();
    fs::remove_dir_all(machine.path("tenants")).unwrap();
    assert!(machine.run("ebbtide replicate --once --config ebbtide.toml").status.success());
    let is_there = |name: &str| machine.path(&format!("tenants/{name}/shop.db")).exists();
    assert_eq!(["first", "acme", "acme-inc"].map(is_there), [true, false, true]);
}

#[test]
fn o25_the_guide_to_encryption_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/encryption.md";
    let mut machine = Machine::new();
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    machine.application.stop();
    machine.stop_sidecars();
    let restored = machine.run("ebbtide restore --identity successor.txt -o newest.db ./backup");
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(machine.notes("newest.db"), machine.notes("app.db"));
    let refused = machine.run("ebbtide restore --identity owner.txt -o refused.db ./backup");
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

#[test]
fn o25_the_guide_to_fixtures_works_as_it_stands_there() {
    assert!(Machine::new().follow("docs/guides/fixtures.md") >= 4);
}

/// With a real PostgreSQL, where there is one.
#[test]
fn o25_the_guide_to_postgres_works_as_it_stands_there() {
    let mut machine = Machine::new();
    let database = postgres::server("the guide to PostgreSQL").map(|server| server.database());
    if let Some(database) = &database {
        machine.variables = database.variables();
    }
    assert!(machine.follow("docs/guides/from-sqlite-to-postgres.md") >= 3);
    let read = |name: &str| fs::read_to_string(machine.path(name)).unwrap();
    if database.is_some() {
        let rows = |text: &str| text.lines().filter(|line| line.contains("the first")).count();
        assert_eq!((rows(&read("notes.csv")), rows(&read("notes-there.csv"))), (1, 1));
    }
    assert!(read("report.json").contains("\"becomes\": \"text\""));
}

/// A skipped command that no document has any more is a reason that nobody needs.
#[test]
fn o25_what_is_skipped_is_there() {
    let guides = tracked(".md").filter(|(path, _)| path.starts_with("docs/guides/"));
    let documents = guides.map(|(path, _)| path).chain(["README.md".to_owned()]);
    let all: Vec<String> = documents.flat_map(|document| commands(&document)).collect();
    for (skipped, why) in SKIPPED {
        assert!(all.iter().any(|command| command == skipped), "{skipped} ({why})");
    }
    assert!(IN_A_MOMENT.iter().all(|command| all.iter().any(|known| known == command)));
}
