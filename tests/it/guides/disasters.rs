//! docs/guides/recover.md, a disaster at a time: each is made here, and then its section is followed. Catches the one page
//! that has to be right when nobody has the time to think.

use std::fs;
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use super::machine::Machine;
use super::page::Page;
use crate::support::wait_until;

const GUIDE: &str = "docs/guides/recover.md";

/// Has a service follow `app.db`, with a mirror.
fn follow(machine: &mut Machine) {
    let config = "[[database]]\npath = \"app.db\"\nreplica = \"./backup\"\nmirror = [\"./mirrors/{name}\"]\n";
    fs::create_dir(machine.path("mirrors")).unwrap();
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    machine.service = "ebbtide replicate --config ebbtide.toml";
    machine.start_sidecar(machine.service);
}

/// An application, followed by a service, and some history.
fn well() -> Machine {
    let mut machine = Machine::new();
    follow(&mut machine);
    let entries = || {
        let log = machine.shell("ebbtide log --json ./backup").output().unwrap();
        String::from_utf8(log.stdout).unwrap().lines().count()
    };
    wait_until("some history", || entries() > 8);
    machine
}

fn section(machine: &mut Machine, heading: &str) {
    let heading = format!("## {heading}");
    assert_eq!(
        machine.follow_section(GUIDE, &heading),
        Page::section(GUIDE, &heading).commands().len(),
        "every command is run"
    );
}

/// Everything that is committed can be restored from there.
fn is_followed(mut machine: Machine, replica: &str) {
    machine.application.stop();
    machine.stop_sidecars();
    let newest = machine.run(&format!("ebbtide restore -o newest.db {replica}"));
    assert!(newest.status.success(), "{newest:?}");
    assert_eq!(machine.notes("newest.db"), machine.notes("app.db"), "it is followed again");
}

#[test]
fn o25_back_to_an_earlier_moment() {
    let mut machine = well();
    section(&mut machine, "Back to an earlier moment");
    let log = machine.run("ebbtide log ./backup");
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("set back to 4 by a restore, 5 to "), "{log}");
    is_followed(machine, "./backup");
}

#[test]
fn o25_the_file_is_gone() {
    let mut machine = well();
    fs::remove_file(machine.path("app.db")).unwrap();
    section(&mut machine, "The file is gone");
    is_followed(machine, "./backup");
}

#[test]
fn o25_the_file_is_damaged() {
    let mut machine = well();
    machine.application.stop();
    let before = machine.notes("app.db");
    let file = fs::OpenOptions::new().write(true).open(machine.path("app.db")).unwrap();
    file.write_all_at(&[0x5a; 3000], 4200).unwrap();
    section(&mut machine, "The file is damaged");
    assert!(machine.notes("app.db") > before, "the first one of another application is there, too");
    is_followed(machine, "./backup");
}

#[test]
fn o25_the_machine_is_gone() {
    let mut lost = well();
    let mut machine = Machine::empty();
    lost.application.stop();
    lost.stop_sidecars();
    fs::rename(lost.path("backup"), machine.path("backup")).unwrap();
    section(&mut machine, "The machine is gone");
    assert!(machine.notes("app.db") >= lost.notes("app.db"));
    is_followed(machine, "./backup");
}

#[test]
fn o25_the_replica_is_damaged() {
    let mut machine = Machine::new();
    machine.application.stop();
    follow(&mut machine);
    // An object for each commit.
    for _ in 0..4 {
        let database = Connection::open(machine.path("app.db")).unwrap();
        database.execute("INSERT INTO notes VALUES ('a note')", []).unwrap();
        drop(database);
        let synced = machine.run("ebbtide sync --wait app.db");
        assert!(synced.status.success(), "{synced:?}");
    }
    let damaged = "log/0000000000000004.seg";
    let [here, there] = ["backup", "mirrors/app.db"].map(|at| machine.path(at).join(damaged));
    wait_until("the mirror", || there.exists());
    let file = fs::OpenOptions::new().write(true).open(here).unwrap();
    file.write_all_at(b"damage", 200).unwrap();
    section(&mut machine, "The replica is damaged");
    machine.start_sidecar("ebbtide replicate app.db ./backup-2");
    is_followed(machine, "./backup-2");
}

#[test]
fn o25_a_restore_that_was_wrong() {
    let mut machine = well();
    let shop = "sqlite3 shop.db 'PRAGMA journal_mode = WAL; CREATE TABLE orders (id)'";
    assert!(machine.makes_database(shop));
    for command in [
        "ebbtide replicate --once shop.db ./shop",
        "systemctl stop app",
        "ebbtide restore --force -o app.db ./shop",
    ] {
        let ended = machine.run(command);
        assert!(ended.status.success(), "{command}: {ended:?}");
    }
    wait_until("it has stopped, and with its only database the process", || machine.has_ended());
    section(&mut machine, "A restore that was wrong");
    is_followed(machine, "./backup");
}

/// A disaster without a test is a section that nobody has followed.
#[test]
fn o25_every_disaster_is_made() {
    let made = [
        "Back to an earlier moment",
        "The file is gone",
        "The file is damaged",
        "The machine is gone",
        "The replica is damaged",
        "A restore that was wrong",
    ];
    let page = crate::tidy::tree::read(GUIDE);
    let there: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(there, made);
}
