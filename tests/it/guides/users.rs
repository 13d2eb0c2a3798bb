//! The pages that take a new user from nothing to production, followed in an empty directory.

use super::commands;
use super::machine::Machine;

/// Whether there is the shell that these pages are written with; says so if not.
fn has_shell(machine: &mut Machine) -> bool {
    let has = machine.run("sqlite3 --version").status.success();
    if !has {
        eprintln!("skipped, because there is no sqlite3");
    }
    has
}

/// Follows a page from an empty directory on; every command that can run here is run.
fn from_nothing(guide: &str) -> Machine {
    let mut machine = Machine::empty();
    if has_shell(&mut machine) {
        let run = machine.follow(guide);
        let all = commands(guide);
        let skipped = all.iter().filter(|line| super::exceptions::is_skipped(line)).count();
        assert_eq!(run, all.len() - skipped, "{guide}: every command is run");
        machine.stop_sidecars();
    }
    machine
}

#[test]
fn o25_the_readme_goes_as_it_stands_there() {
    let machine = from_nothing("README.md");
    if machine.path("shop.db").exists() {
        assert_eq!(machine.number("shop.db", "SELECT count(*) FROM orders"), 5);
        assert_eq!(machine.number("copy.db", "SELECT count(*) FROM orders"), 4);
    }
}

#[test]
fn o25_the_first_hour_goes_as_it_stands_there() {
    let machine = from_nothing("docs/guides/first-hour.md");
    if machine.path("shop.db").exists() {
        assert_eq!(machine.number("shop.db", "SELECT count(*) FROM orders"), 6);
    }
}

/// Their configurations are in order, or are refused in the words that stand there.
#[test]
fn o25_configurations_in_pages_are_what_they_are_said_to_be() {
    for page in ["install", "production", "systemd", "frameworks", "from-litestream"] {
        from_nothing(&format!("docs/guides/{page}.md"));
    }
}

/// An application, followed by a service.
fn followed() -> Machine {
    let mut machine = Machine::new();
    machine.start_sidecar(machine.service);
    let synced = machine.run("ebbtide sync --wait app.db");
    assert!(synced.status.success(), "{synced:?}");
    machine
}

#[test]
fn o25_what_it_costs_can_be_asked() {
    let mut machine = followed();
    assert!(machine.follow("docs/guides/cost.md") >= 2);
    machine.application.stop();
    machine.stop_sidecars();
}

/// Beside an application that goes on, until nothing of it is left.
#[test]
fn o25_an_upgrade_and_the_end_go_as_they_stand_there() {
    const GUIDE: &str = "docs/guides/upgrade.md";
    let mut machine = followed();
    assert_eq!(machine.follow(GUIDE), commands(GUIDE).len());
    let before = machine.notes("app.db");
    crate::support::wait_until("the application goes on", || machine.notes("app.db") > before);
    machine.application.stop();
    let restored = machine.run("ebbtide restore -o last.db ./backup");
    assert!(restored.status.success() && machine.notes("last.db") > 0, "{restored:?}");
}
