//! An application dies between the two copies of the wal-index's header (hazard A4): from then on nobody can tell what is
//! committed until the wal-index is recovered from the log, for which SQLite needs the checkpoint lock, which is ours.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{PATIENCE, Setup, wait_until};

/// Leaves the second copy of the header newer than the first, as a publication does after its first half. By another
/// process: closing a descriptor on the wal-index would drop the locks of this one.
fn tear(shm: &Path) {
    // The counter of changes in the second copy.
    let script = "printf '\\377' | dd of=\"$0\" bs=1 seek=56 conv=notrunc";
    let mut command = Command::new("sh");
    let ended = command.args(["-c", script]).arg(shm).stderr(Stdio::null()).status().unwrap();
    assert!(ended.success());
}

#[test]
fn a04_a_torn_wal_index_is_recovered_under_our_hold_and_nothing_is_missed() {
    let setup = Setup::new();
    let app = setup.app();
    let insert = || app.execute("INSERT INTO t (b) VALUES (randomblob(100))", []);
    let sidecar = setup.follow();
    for _ in 0..3 {
        for _ in 0..5 {
            insert().unwrap();
        }
        tear(&setup.path("app.db-shm"));
        // SQLite waits a while for somebody else to recover it, and then gives up.
        wait_until("the next commit", || insert().is_ok());
    }
    let recovered = sidecar.process().line_with("recovering the wal-index", PATIENCE);
    assert!(recovered.contains("WARN"), "{recovered}");
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("following again"), "it never let go of the log: {said}");
    setup.assert_exact();
    let commits = setup.history().counts().commits;
    assert_eq!(commits, 18, "each commit is an entry of its own");
}
