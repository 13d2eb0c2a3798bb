//! Two machines that each believe to be the one.

use rusqlite::Connection;

use super::rows_restored;
use crate::support::{Ended, Setup};

/// The standby restored and writes; the old primary comes back, and its supervisor starts it again and again. It is
/// refused each time, and the new one is not disturbed.
#[test]
fn r28_an_old_primary_that_comes_back_is_refused_however_often_it_is_started() {
    let (old, app) = Setup::with_rows(20);
    let sidecar = old.follow();
    app.insert(3, 700);
    old.sync();
    sidecar.kill();
    let new = old.text("new.db");
    old.restore(&["-o", &new]).exits(0);
    let primary = old.follow_other("new.db", "backup");
    let new_app = old.other_app("new.db");
    new_app.execute_batch("DELETE FROM t WHERE id = 1").unwrap();
    old.run(&["sync", "--wait", &new]).exits(0);
    app.insert(2, 700);
    let before = old.history().entries();
    for _ in 0..3 {
        let (code, said) = old.spawn().end();
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("ahead of this database"), "{said}");
    }
    assert_eq!(old.history().entries(), before, "nothing was claimed");
    new_app.execute_batch("DELETE FROM t WHERE id = 2").unwrap();
    assert_eq!(primary.stop(), 0);
    old.history().assert_ends_with(&old.path("new.db"), old.directory.path());
}

/// A machine is cloned with everything on it, and both are started: the second is refused as soon as the first has
/// written, and the replica is the first one's alone.
#[test]
fn r29_a_clone_with_the_same_local_state_does_not_mix_into_the_replica() {
    let (setup, app) = Setup::with_rows(20);
    assert_eq!(setup.follow().stop(), 0);
    drop(app);
    let clone = setup.path("clone");
    std::fs::create_dir(&clone).unwrap();
    for name in ["app.db", ".app.db-ebbtide"] {
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(setup.path(name)).arg(&clone);
        Ended::of(&mut copy).exits(0);
    }
    let app = setup.app();
    let sidecar = setup.follow();
    app.insert(2, 700);
    setup.sync();
    let cloned = clone.join("app.db");
    let other = Connection::open(&cloned).unwrap();
    other.execute_batch("DELETE FROM t").unwrap();
    let once = ["replicate", "--once", cloned.to_str().unwrap(), &setup.replica];
    setup.run(&once).exits(5);
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(rows_restored(&setup), 23);
}
