//! The test that tests/it/README.md shows: an application, a sidecar beside it, and a replica that has everything.

use super::control::{Place, code, insert};
use super::support::Replica;

/// Would catch a sidecar that follows nothing, and an example that does not work.
#[test]
fn what_was_committed_before_a_sync_is_in_the_replica() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "replica");

    insert(&application);
    assert_eq!(code(&place.run(&["sync", "--wait", &place.text("app.db")])), 0);
    assert_eq!(sidecar.stop(), 0);
    Replica::open(&place.text("replica")).assert_ends_with(&place.path("app.db"), &place.path(""));
}
