//! A replica into which somebody writes who knows the format, beside the binary.

use ebbtide_catalog::Target;
use ebbtide_replica::container::Contents;
use ebbtide_replica::{Chain, EntryFlags, EntryKind, Txid};
use ebbtide_testkit::forger::{Forged, with_same_digest};

use crate::support::{App, Setup};

/// Commits after the last one that lead back to its digest, with other pages: taken for ours, whose confirmation was lost,
/// they would be what is restored from then on, and nothing would ever be said.
#[test]
fn z01_a_commit_that_somebody_slipped_in_is_not_taken_for_ours() {
    let setup = Setup::new();
    // More pages than it takes to make up a digest.
    App::prepared(
        &setup.database,
        "PRAGMA journal_mode = WAL; CREATE TABLE t (x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO t SELECT zeroblob(3000) FROM n;",
    );
    setup.once().exits(0);
    let (there, replica) = (setup.history(), setup.path("backup"));
    let (last, before) = there.restore(Target::Latest, setup.directory.path());
    let log = |txid: Txid| replica.join(format!("log/{txid}.seg"));
    let end = Forged::take_apart(&std::fs::read(log(last)).unwrap()).unwrap();
    let chain: Chain = end.chain_after();

    let snapshot = std::fs::read_dir(replica.join("snap")).unwrap().next().unwrap().unwrap().path();
    let mut forged = Forged::take_apart(&std::fs::read(snapshot).unwrap()).unwrap();
    let next = last.next();
    forged.header.contents = Contents::Segment { first: next, chain };
    forged.chain = None;
    let entry = &mut forged.entries[0];
    (entry.txid, entry.kind, entry.flags) = (next, EntryKind::Commit, EntryFlags::NONE);
    let mut pages: Vec<_> = forged.numbers().into_iter().zip(forged.images.clone()).collect();
    let mut image = pages[9].1.clone();
    image[1000..1006].copy_from_slice(b"forged");
    with_same_digest(&mut pages, 9, image);
    forged.images = pages.into_iter().map(|(_, image)| image).collect();
    forged.list_hashes();
    forged.state_contents();
    std::fs::write(log(next), forged.put_together()).unwrap();
    assert!(
        there.restore(Target::Latest, setup.directory.path()).1 != before,
        "it leads to other pages"
    );

    setup.once().exits(0);
    assert_eq!(
        there.restore(Target::Latest, setup.directory.path()).1,
        before,
        "the database is sent again"
    );
}
