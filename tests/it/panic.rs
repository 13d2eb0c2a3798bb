//! A fault of our own in one database's task (hazard B16): it begins again, and the others do not notice.

use ebbtide_catalog::Target;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::support::{PATIENCE, Replica, command};

#[test]
fn b16_a_panic_ends_one_session_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["one", "two"];
    let path = |name: &str, kind: &str| folder.path().join(format!("{name}.{kind}"));
    let applications = names.map(|name| {
        let application = Connection::open(path(name, "db")).unwrap();
        application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
        application
    });
    let entry = |name| {
        format!(
            "[[database]]\npath = {:?}\nreplica = {:?}\n",
            path(name, "db"),
            path(name, "backup")
        )
    };
    let config = folder.path().join("ebbtide.toml");
    std::fs::write(&config, names.map(entry).concat()).unwrap();
    let args = ["replicate", "--log-format", "json", "--config", config.to_str().unwrap()];
    let mut command = command(&args);
    command.env("FAILPOINTS", "shipper.append.encoded=4:panic");
    let mut sidecar = Process::start(&mut command, Output::Stderr).unwrap();
    for _ in names {
        sidecar.line_with("\"following\"", PATIENCE);
    }
    for round in 0..20 {
        for application in &applications {
            application.execute("INSERT INTO t VALUES (?1)", [round]).unwrap();
        }
    }
    // The claim and the first commits of either count; one of the two panics, and follows again.
    let fault = sidecar.line_with("a fault in ebbtide itself", PATIENCE);
    assert!(fault.contains("following again"), "{fault}");
    sidecar.line_with("\"following\"", PATIENCE);
    sidecar.signal(Signal::SIGTERM).unwrap();
    assert_eq!(sidecar.wait(PATIENCE).unwrap().code(), Some(0));
    for name in names {
        let expected = Image::of(&oracle::committed(&path(name, "db")).unwrap());
        let replica = Replica::open(path(name, "backup").to_str().unwrap());
        assert_eq!(replica.restore(Target::Latest, folder.path()).1, expected, "{name}");
    }
}
