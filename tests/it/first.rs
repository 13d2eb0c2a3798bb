//! The test that tests/it/README.md shows: an application, a sidecar beside it, and a replica that has everything.

use crate::support::Setup;

/// Would catch a sidecar that follows nothing, and an example that does not work.
#[test]
fn what_was_committed_before_a_sync_is_in_the_replica() {
    let setup = Setup::new();
    let app = setup.app();
    let sidecar = setup.follow();

    app.insert(1, 100);
    setup.sync();
    assert_eq!(sidecar.stop(), 0);
    setup.assert_exact();
}
