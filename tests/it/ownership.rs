//! Whose replica it is. Would catch a database that goes into another's history because of a wrong address, and an owner
//! that cannot come back.

use std::fs;

use ebbtide_catalog::Target;
use ebbtide_replica::EntryFlags;
use ebbtide_testkit::oracle::{self, Image};
use rusqlite::Connection;

use crate::support::Setup;

/// An application with its own schema and so many rows.
fn application(setup: &Setup, name: &str, rows: u32) -> Connection {
    let database = Connection::open(setup.path(name)).unwrap();
    let table = name.trim_end_matches(".db");
    let schema = format!("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS {table} (a)");
    database.execute_batch(&schema).unwrap();
    for _ in 0..rows {
        database.execute(&format!("INSERT INTO {table} VALUES (randomblob(900))"), []).unwrap();
    }
    database
}

fn once(setup: &Setup, database: &str, replica: &str, more: &[&str]) -> (i32, String) {
    let args = ["replicate", "--once", &setup.text(database), &setup.text(replica)];
    let ended = setup.run(&[&args[..], more].concat());
    (ended.code(), ended.said)
}

#[track_caller]
fn assert_done((code, said): (i32, String)) {
    assert_eq!(code, 0, "{said}");
}

fn image(setup: &Setup, name: &str) -> Image {
    Image::of(&oracle::committed(&setup.path(name)).unwrap())
}

#[test]
fn o24_another_database_is_refused_and_the_owner_that_was_pushed_out_comes_back() {
    let setup = Setup::new();
    let _shop = application(&setup, "shop.db", 40);
    let _blog = application(&setup, "blog.db", 1);
    assert_done(once(&setup, "shop.db", "backup", &[]));
    let entries = setup.history().entries().len();
    for _ in 0..2 {
        let (code, said) = once(&setup, "blog.db", "backup", &[]);
        assert_eq!(code, 5, "{said}");
        for part in [&setup.text("shop.db"), &setup.text("blog.db"), "--adopt", "last written"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert_eq!(setup.history().entries().len(), entries, "it claims nothing");
    }
    assert_done(once(&setup, "shop.db", "backup", &[]));
    // Its own replica is not lost to a database by such a mistake.
    assert_done(once(&setup, "blog.db", "blog", &[]));
    assert_eq!(once(&setup, "blog.db", "backup", &[]).0, 5);
    assert_done(once(&setup, "blog.db", "blog", &[]));
    assert_done(once(&setup, "blog.db", "backup", &["--adopt"]));
    let adopted = setup.history().restore(Target::Latest, setup.directory.path());
    assert_eq!(adopted.1, image(&setup, "blog.db"));
    let _more = application(&setup, "shop.db", 3);
    let (code, said) = once(&setup, "shop.db", "backup", &[]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("--take-back"), "{said}");
    assert_done(once(&setup, "shop.db", "backup", &["--take-back"]));
    let replica = setup.history();
    assert!(replica.entries().last().unwrap().flags.contains(EntryFlags::FORK));
    replica.assert_ends_with(&setup.path("shop.db"), setup.directory.path());
    assert_eq!(replica.restore(Target::Txid(adopted.0), setup.directory.path()).1, adopted.1);
    assert_done(once(&setup, "shop.db", "backup", &[]));
}

#[test]
fn o24_a_database_whose_local_state_is_lost_is_known_by_its_file_or_by_its_pages() {
    let setup = Setup::new();
    let shop = application(&setup, "shop.db", 40);
    assert_done(once(&setup, "shop.db", "backup", &[]));
    // Of its pages none is what it was, and it is the same file.
    shop.execute_batch("UPDATE shop SET a = randomblob(900)").unwrap();
    fs::remove_dir_all(setup.path(".shop.db-ebbtide")).unwrap();
    assert_done(once(&setup, "shop.db", "backup", &[]));
    drop(shop);
    // Another file elsewhere, of which most pages are the replica's.
    fs::copy(setup.path("shop.db"), setup.path("moved.db")).unwrap();
    let moved = Connection::open(setup.path("moved.db")).unwrap();
    moved.execute("INSERT INTO shop VALUES (1)", []).unwrap();
    assert_done(once(&setup, "moved.db", "backup", &[]));
    // The same with none of them is anybody's.
    moved.execute_batch("UPDATE shop SET a = randomblob(901)").unwrap();
    drop(moved);
    fs::copy(setup.path("moved.db"), setup.path("again.db")).unwrap();
    let (code, said) = once(&setup, "again.db", "backup", &[]);
    assert_eq!(code, 5, "{said}");
    setup.history().restore(Target::Latest, setup.directory.path());
}

/// A copy of the directory has the local state, which does not make it the original.
#[test]
fn o24_a_copy_beside_the_original_is_refused_until_it_is_adopted() {
    let setup = Setup::new();
    let shop = application(&setup, "shop.db", 40);
    assert_done(once(&setup, "shop.db", "backup", &[]));
    drop(shop);
    let entries = setup.history().entries().len();
    fs::create_dir(setup.path("staging")).unwrap();
    for name in ["shop.db", ".shop.db-ebbtide"] {
        let copied = std::process::Command::new("cp")
            .args(["-a", &setup.text(name), &setup.text("staging")])
            .status();
        assert!(copied.unwrap().success());
    }
    let (code, said) = once(&setup, "staging/shop.db", "backup", &[]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("still exists on this host") && said.contains("--adopt"), "{said}");
    assert_eq!(setup.history().entries().len(), entries, "it claims nothing");
    assert_done(once(&setup, "shop.db", "backup", &[]));
    assert_done(once(&setup, "staging/shop.db", "backup", &["--adopt"]));
    assert_done(once(&setup, "staging/shop.db", "backup", &[]));
    // A directory that is moved goes on as what it was, also where its files are copied to get there.
    fs::create_dir(setup.path("elsewhere")).unwrap();
    for name in ["shop.db", ".shop.db-ebbtide"] {
        let from = setup.text(&format!("staging/{name}"));
        let copied =
            std::process::Command::new("cp").args(["-a", &from, &setup.text("elsewhere")]).status();
        assert!(copied.unwrap().success());
    }
    fs::remove_dir_all(setup.path("staging")).unwrap();
    assert_done(once(&setup, "elsewhere/shop.db", "backup", &[]));
}

/// An older copy without local state is refused each time, and may take the replica back.
#[test]
fn o24_an_older_copy_stays_refused_until_it_is_to_take_the_replica_back() {
    let setup = Setup::new();
    let shop = application(&setup, "shop.db", 40);
    assert_done(once(&setup, "shop.db", "backup", &[]));
    shop.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    fs::copy(setup.path("shop.db"), setup.path("older.db")).unwrap();
    shop.execute("INSERT INTO shop VALUES (1)", []).unwrap();
    assert_done(once(&setup, "shop.db", "backup", &[]));
    for _ in 0..2 {
        let (code, said) = once(&setup, "older.db", "backup", &[]);
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("older copy") && said.contains("--take-back"), "{said}");
    }
    assert_done(once(&setup, "older.db", "backup", &["--take-back"]));
    let replica = setup.history();
    assert!(replica.entries().last().unwrap().flags.contains(EntryFlags::FORK));
    replica.assert_ends_with(&setup.path("older.db"), setup.directory.path());
}

#[test]
fn o18_two_databases_at_one_place_however_it_is_written_are_refused_by_name() {
    let setup = Setup::new();
    for name in ["one.db", "two.db"] {
        application(&setup, name, 1);
    }
    std::os::unix::fs::symlink(setup.directory.path(), setup.path("link")).unwrap();
    let backup = setup.text("backup");
    let config = |replica: &str, more: &str| {
        let text = format!(
            "[[database]]\npath = {:?}\nreplica = {backup:?}\n{more}\n\
             [[database]]\npath = {:?}\nreplica = {replica:?}\n{more}",
            setup.path("one.db"),
            setup.path("two.db"),
        );
        fs::write(setup.path("ebbtide.toml"), text).unwrap();
        let ended = setup.run(&["replicate", "--once", "--config", &setup.text("ebbtide.toml")]);
        (ended.code(), ended.said)
    };
    for other in [
        backup.clone(),
        format!("{backup}/"),
        format!("file://{backup}"),
        setup.text("x/../backup"),
        setup.text("./backup"),
        setup.text("link/backup"),
    ] {
        let (code, said) = config(&other, "");
        assert_eq!(code, 2, "{other}: {said}");
        assert!(said.contains("one.db") && said.contains("two.db"), "{said}");
    }
    let state = format!("state = {:?}\n", setup.path("state"));
    let (code, said) = config(&setup.text("other"), &state);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("state") && said.contains("two.db"), "{said}");
    assert_done(config(&setup.text("other"), ""));
}

/// A local state whose page hashes are damaged still says how far this database went. Would catch a database that takes
/// its replica over although another one has continued it since.
#[test]
fn o49_damaged_page_hashes_do_not_excuse_a_database_that_is_behind() {
    let setup = Setup::new();
    let shop = application(&setup, "shop.db", 40);
    assert_done(once(&setup, "shop.db", "backup", &[]));
    let damage = || {
        let state = fs::read_dir(setup.path(".shop.db-ebbtide")).unwrap();
        let tables: Vec<_> = state
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("pages."))
            .collect();
        assert!(!tables.is_empty(), "the tables of page hashes have another name");
        for table in tables {
            let mut bytes = fs::read(&table).unwrap();
            // Of all rows changed alike, two would cancel each other out in the sum.
            bytes[0] ^= 0x55;
            fs::write(&table, bytes).unwrap();
        }
    };
    damage();
    shop.execute("INSERT INTO shop VALUES (1)", []).unwrap();
    assert_done(once(&setup, "shop.db", "backup", &[]));
    setup.history().assert_ends_with(&setup.path("shop.db"), setup.directory.path());
    // Another machine goes on from the replica.
    let restored = setup.run(&["restore", &setup.text("backup"), "-o", &setup.text("other.db")]);
    assert_eq!(restored.code(), 0, "{}", restored.said);
    let other = Connection::open(setup.path("other.db")).unwrap();
    other.execute("INSERT INTO shop VALUES (2)", []).unwrap();
    assert_done(once(&setup, "other.db", "backup", &[]));
    damage();
    let (code, said) = once(&setup, "shop.db", "backup", &[]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("ahead of this database"), "{said}");
    setup.history().assert_ends_with(&setup.path("other.db"), setup.directory.path());
    assert_done(once(&setup, "shop.db", "backup", &["--take-back"]));
    setup.history().assert_ends_with(&setup.path("shop.db"), setup.directory.path());
}
