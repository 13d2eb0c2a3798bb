//! A fault of our own in one database's task (hazard B16): it begins again, and the others do not notice.

use crate::support::{History, PATIENCE, Setup, Sidecar};

#[test]
fn b16_a_panic_ends_one_session_and_nothing_else() {
    let setup = Setup::new();
    let names = ["one", "two"];
    let apps = names.map(|name| setup.other_app(&format!("{name}.db")));
    let entry = |name| {
        let (database, replica) = (setup.path(&format!("{name}.db")), setup.path(name));
        format!("[[database]]\npath = {database:?}\nreplica = {replica:?}\n")
    };
    std::fs::write(setup.path("ebbtide.toml"), names.map(entry).concat()).unwrap();
    let config = setup.text("ebbtide.toml");
    let mut replicate = setup.command(&["replicate", "--log-format", "json", "--config", &config]);
    replicate.env("FAILPOINTS", "shipper.append.encoded=4:panic");
    let sidecar = Sidecar::spawn_command(&mut replicate);
    for _ in names {
        sidecar.wait_until_it_follows();
    }
    // A start passes the place for no entry, and the other database has no commit yet, so it is the fourth of this one.
    apps[0].insert(4, 8);
    let fault = sidecar.process().line_with("a fault in ebbtide itself", PATIENCE);
    assert!(fault.contains("following again") && fault.contains("one.db"), "{fault}");
    for app in &apps {
        app.insert(20, 8);
    }
    sidecar.wait_until_it_follows();
    assert_eq!(sidecar.stop(), 0);
    for name in names {
        let history = History::open(&setup.text(name));
        history.assert_ends_with(&setup.path(&format!("{name}.db")), setup.directory.path());
    }
}
