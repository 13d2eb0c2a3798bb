//! Two machines that each believe to be the one.

use rusqlite::Connection;

use super::{Site, code, said, succeeds};
use crate::support::{Replica, Sidecar, ebbtide};

/// The standby restored and writes; the old primary comes back, and its supervisor starts it again and again. It is
/// refused each time, and the new one is not disturbed.
#[test]
fn r28_an_old_primary_that_comes_back_is_refused_however_often_it_is_started() {
    let old = Site::new();
    let sidecar = old.follow();
    old.insert(3);
    old.sync();
    sidecar.kill();
    let new = old.path("new.db");
    succeeds(&ebbtide(&["restore", "-o", new.to_str().unwrap(), &old.replica]));
    let primary = Sidecar::start(&new, &old.replica);
    let application = Connection::open(&new).unwrap();
    application.execute_batch("PRAGMA journal_mode = WAL; DELETE FROM t WHERE id = 1").unwrap();
    succeeds(&ebbtide(&["sync", "--wait", new.to_str().unwrap()]));
    old.insert(2);
    let before = Replica::open(&old.replica).entries();
    for _ in 0..3 {
        let (code, said) = Sidecar::spawn(&old.database, &old.replica).end();
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("ahead of this database"), "{said}");
    }
    assert_eq!(Replica::open(&old.replica).entries(), before, "nothing was claimed");
    application.execute_batch("DELETE FROM t WHERE id = 2").unwrap();
    assert_eq!(primary.stop(), 0);
    Replica::open(&old.replica).assert_ends_with(&new, old.folder.path());
}

/// A machine is cloned with everything on it, and both are started: the second is refused as soon as the first has
/// written, and the replica is the first one's alone.
#[test]
fn r29_a_clone_with_the_same_local_state_does_not_mix_into_the_replica() {
    let Site { folder, database, replica, application } = Site::new();
    assert_eq!(Sidecar::start(&database, &replica).stop(), 0);
    drop(application);
    let clone = folder.path().join("clone");
    std::fs::create_dir(&clone).unwrap();
    for name in ["app.db", ".app.db-ebbtide"] {
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(folder.path().join(name)).arg(&clone);
        succeeds(&copy.output().unwrap());
    }
    let application = Connection::open(&database).unwrap();
    let site = Site { folder, database, replica, application };
    let sidecar = site.follow();
    site.insert(2);
    site.sync();
    let cloned = clone.join("app.db");
    let other = Connection::open(&cloned).unwrap();
    other.execute_batch("DELETE FROM t").unwrap();
    let once = ["replicate", "--once", cloned.to_str().unwrap(), &site.replica];
    let refused = ebbtide(&once);
    assert_eq!(code(&refused), 5, "{}", said(&refused));
    site.insert(1);
    site.assert_exact_after(sidecar);
    assert_eq!(site.rows_restored(), 23);
}
