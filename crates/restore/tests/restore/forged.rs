//! Objects of a forger: every checksum is right, and the pages or the sizes are not. What is proved must be under the chain,
//! and what is under the chain is all that can be proved without knowing the chain from elsewhere.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use ebbtide_catalog::read_index;
use ebbtide_catalog::{Anchor, Notice, PlanError, Progress, Target};
use ebbtide_replica::container::{Contents, Footer, Header};
use ebbtide_replica::{Chain, EntryKind, Key, Run, Txid, content_of};
use ebbtide_restore::{Error, Severity, Verification, verify};
use ebbtide_store::{DirectoryStore, MemoryStore, Object, Store as _};
use ebbtide_testkit::forger::{Forged, Metered, with_same_digest};
use ebbtide_wal::PageNumber;

use crate::builder::{Builder, Carry, copy, options, restore_with, restored, txid};

/// Enough pages to make up any digest.
const PAGES: usize = 200;

/// A snapshot at 2, a large commit at 4, a vouched snapshot at 6, and some commits around them.
async fn sample() -> Builder {
    let mut builder = Builder::started(512, PAGES).await;
    builder.commit(&[(3, 1)], PAGES);
    builder.cut().await;
    let changes: Vec<(usize, u64)> = (0..PAGES).map(|index| (index, 77)).collect();
    builder.commit(&changes, PAGES);
    builder.cut().await;
    for number in 0..4_usize {
        builder.commit(&[(number, number as u64)], PAGES + number);
        if number == 1 {
            builder.snapshot().await;
        }
        builder.cut().await;
    }
    builder
}

async fn take_apart(store: &MemoryStore, key: Key) -> Forged {
    Forged::take_apart(&store.get(&key, u64::MAX).await.unwrap()).unwrap()
}

async fn put(store: &MemoryStore, key: Key, forged: &Forged) {
    store.delete(&key).await.unwrap();
    store.put(&key, forged.put_together().into()).await.unwrap();
}

/// Page 10 is another one, and the digest is what it was.
fn change_pages(forged: &mut Forged) {
    let mut pages: Vec<_> = forged.numbers().into_iter().zip(forged.images.clone()).collect();
    let mut image = pages[9].1.clone();
    image[..6].copy_from_slice(b"forged");
    with_same_digest(&mut pages, 9, image);
    forged.images = pages.into_iter().map(|(_, image)| image).collect();
}

/// Each state is restored as it was, or refused.
async fn exact_or_refused(builder: &Builder, store: &MemoryStore, refused_max: usize) {
    let mut refused = 0;
    for state in &builder.states[1..] {
        match restored(store, Target::Txid(state.txid)).await {
            Ok((image, _)) => assert!(image == state.image(), "{} is forged", state.txid),
            Err(Error::Plan(PlanError::Damaged { .. })) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused <= refused_max, "{refused} are refused");
}

async fn verified(store: &MemoryStore) -> Verification {
    verify(Arc::new(store.clone()), &Arc::new(Progress::default())).await.unwrap()
}

async fn blames(store: &MemoryStore, key: Key) {
    let findings = verified(store).await.findings;
    let blamed =
        |one: &ebbtide_restore::Finding| one.key == key && one.severity == Severity::Damage;
    assert!(findings.iter().any(blamed), "{findings:?}");
}

/// The digest is what it was, and so is all that the chain covers: only the list of hashes under the content tells.
#[tokio::test]
async fn z01_pages_of_a_commit_that_add_up_to_its_digest_are_not_restored() {
    let builder = sample().await;
    let key = Key::Log(txid(4));
    for with_hashes in [false, true] {
        let store = copy(&builder.store).await;
        let mut forged = take_apart(&store, key).await;
        change_pages(&mut forged);
        if with_hashes {
            forged.list_hashes();
        }
        put(&store, key, &forged).await;
        exact_or_refused(&builder, &store, 4).await;
        assert!(restored(&store, Target::Txid(txid(4))).await.is_err());
        blames(&store, key).await;
        // With its content, too, it is another entry, and the next one does not follow it.
        forged.list_hashes();
        forged.state_contents();
        put(&store, key, &forged).await;
        assert!(restored(&store, Target::Txid(txid(5))).await.is_err());
        assert!(!verified(&store).await.is_sound());
        forged.chain = Some(builder.state(4).chain);
        put(&store, key, &forged).await;
        exact_or_refused(&builder, &store, 4).await;
    }
}

/// The entry of a snapshot is not under the chain, so that its own content proves nothing: the log vouches for it.
#[tokio::test]
async fn z01_a_snapshot_with_the_right_chain_and_digest_and_other_pages_is_not_restored() {
    let builder = sample().await;
    for snapshot in [2, 6] {
        let store = copy(&builder.store).await;
        let key = Key::Snapshot(txid(snapshot));
        let mut forged = take_apart(&store, key).await;
        change_pages(&mut forged);
        forged.list_hashes();
        forged.state_contents();
        put(&store, key, &forged).await;
        exact_or_refused(&builder, &store, if snapshot == 2 { 4 } else { 0 }).await;
        blames(&store, key).await;
        if snapshot == 2 {
            assert!(restored(&store, Target::Txid(txid(3))).await.is_err());
        }
    }
}

/// Where nothing vouches for a snapshot, an older one is the base; if there is none, that is said.
#[tokio::test]
async fn z01_a_snapshot_that_nothing_vouches_for_serves_only_where_nothing_else_does() {
    let mut builder = sample().await;
    builder.snapshot().await;
    let last = builder.last().txid;
    let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
    assert_eq!(
        (report.outline.snapshot, report.outline.notices),
        (Some(Key::Snapshot(txid(6))), vec![])
    );
    for gone in [2, 6] {
        builder.store.delete(&Key::Snapshot(txid(gone))).await.unwrap();
    }
    builder.store.delete(&Key::Log(txid(4))).await.unwrap();
    let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
    let key = Key::Snapshot(last);
    assert_eq!(report.outline.notices, [Notice::DigestOnly { key }]);
    // Who knows the chain asks for more.
    let error = expecting(&builder.store, builder.last().chain, Some(last)).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Unexpected { .. })), "{error}");
}

async fn expecting(
    store: &MemoryStore,
    chain: Chain,
    txid: Option<Txid>,
) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let mut options = options(Target::Latest, &output);
    options.expect = Some(Anchor { chain, txid });
    restore_with(store, &options).await?;
    Ok(std::fs::read(&output).unwrap())
}

/// A history that is rewritten as a whole proves itself; only who knows a chain from elsewhere sees it.
#[tokio::test]
async fn z01_a_history_that_was_rewritten_is_found_by_whoever_knows_its_chain() {
    let builder = sample().await;
    let store = copy(&builder.store).await;
    let mut chain = builder.state(3).chain;
    for first in 4..=8 {
        let key = Key::Log(txid(first));
        let mut forged = take_apart(&store, key).await;
        forged.follow(chain);
        if first == 4 {
            change_pages(&mut forged);
            forged.list_hashes();
            forged.state_contents();
        }
        chain = forged.chain_after();
        put(&store, key, &forged).await;
    }
    let (image, _) = restored(&store, Target::Latest).await.unwrap();
    assert!(image != builder.last().image(), "it proves itself");
    for number in [4, 6, 8] {
        let known = builder.state(number);
        for txid in [None, Some(known.txid)] {
            let image = expecting(&builder.store, known.chain, txid).await.unwrap();
            assert!(image == builder.last().image());
            let error = expecting(&store, known.chain, txid).await.unwrap_err();
            assert!(matches!(error, Error::Plan(PlanError::Unexpected { .. })), "{error}");
        }
    }
    let error = expecting(&builder.store, builder.last().chain, Some(txid(9))).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Unexpected { .. })), "{error}");
}

/// Sizes that no pages bear out add nothing to the digest. What `verify` passes can be restored.
#[tokio::test]
async fn z07_a_size_without_pages_is_found_by_verify_and_by_a_restore() {
    for pages in [210, 4_000_000_000] {
        let builder = sample().await;
        let key = Key::Log(txid(8));
        let mut forged = take_apart(&builder.store, key).await;
        forged.entries[0].database_pages = pages;
        put(&builder.store, key, &forged).await;
        let error = restored(&builder.store, Target::Latest).await.unwrap_err();
        let Error::Plan(PlanError::Damaged { culprits, .. }) = error else { panic!("{error}") };
        assert_eq!(culprits[0].key, key);
        blames(&builder.store, key).await;
    }
}

/// The same for an entry of one page far beyond, and for a claim.
#[tokio::test]
async fn z10_what_an_entry_claims_costs_nothing_without_pages() {
    let mut builder = sample().await;
    builder.claim();
    builder.cut().await;
    let claim = Key::Log(builder.last().txid);
    let commit = Key::Log(txid(8));
    for key in [claim, commit] {
        let store = copy(&builder.store).await;
        let mut forged = take_apart(&store, key).await;
        forged.entries[0].database_pages = 4_000_000_000;
        if key == commit {
            let last = PageNumber::new(4_000_000_000).unwrap();
            let mut runs = vec![forged.entries[0].runs[0], Run::new(last, 1).unwrap()];
            runs[0] = Run::new(runs[0].first(), forged.entries[0].page_count - 1).unwrap();
            forged.entries[0].runs = runs;
            forged.list_hashes();
            forged.state_contents();
            store.delete(&claim).await.unwrap();
        }
        put(&store, key, &forged).await;
        assert!(matches!(
            restored(&store, Target::Latest).await,
            Err(Error::Plan(PlanError::Damaged { .. }))
        ));
        blames(&store, key).await;
    }
}

/// A snapshot must have a page for each that it claims, and a claim of it must be that of the log.
#[tokio::test]
async fn z10_a_snapshot_of_another_size_is_not_used() {
    let builder = sample().await;
    let key = Key::Snapshot(txid(6));
    let mut forged = take_apart(&builder.store, key).await;
    let entry = &mut forged.entries[0];
    let count = entry.page_count - 1;
    (entry.database_pages, entry.page_count) = (count, count);
    entry.runs = vec![Run::new(PageNumber::ONE, count).unwrap()];
    forged.images.pop();
    forged.list_hashes();
    entry_digest(&mut forged);
    put(&builder.store, key, &forged).await;
    exact_or_refused(&builder, &builder.store, 0).await;
    blames(&builder.store, key).await;
}

fn entry_digest(forged: &mut Forged) {
    let hashes = forged.hashes.clone();
    forged.entries[0].digest = hashes.iter().copied().collect();
    forged.entries[0].content = content_of(hashes);
}

/// A pack of another history than its segments have, and one with other pages.
#[tokio::test]
async fn z01_a_pack_that_disagrees_with_its_segments_is_not_restored() {
    let builder = sample().await;
    builder.pack(3, 7).await;
    let key = Key::Pack { first: txid(3), last: txid(7) };
    for rewritten in [false, true] {
        let store = copy(&builder.store).await;
        let mut forged = take_apart(&store, key).await;
        // Entry 4 has all pages but for the one of entry 3 before it.
        let mut pages: Vec<_> = forged.numbers().into_iter().zip(forged.images.clone()).collect();
        with_same_digest(&mut pages[1..=PAGES], 9, vec![b'f'; 512]);
        forged.images = pages.into_iter().map(|(_, image)| image).collect();
        forged.list_hashes();
        if rewritten {
            forged.state_contents();
        }
        put(&store, key, &forged).await;
        assert!(!verified(&store).await.is_sound());
        if rewritten {
            // Up to a state within it, it is a history of its own, which only a known chain tells from the other.
            let (image, _) = restored(&store, Target::Latest).await.unwrap();
            assert!(image == builder.last().image());
        } else {
            exact_or_refused(&builder, &store, 5).await;
        }
    }
}

/// An entry that carries every page is proved by its content as any other.
#[tokio::test]
async fn z01_pages_of_a_complete_entry_that_add_up_to_its_digest_are_not_restored() {
    let mut builder = sample().await;
    let pages = builder.last().pages.clone();
    builder.enter(EntryKind::Resync, pages, Carry::All, b"{}");
    builder.cut().await;
    builder.commit(&[(1, 9)], PAGES);
    builder.cut().await;
    let key = Key::Log(txid(9));
    let mut forged = take_apart(&builder.store, key).await;
    change_pages(&mut forged);
    forged.list_hashes();
    put(&builder.store, key, &forged).await;
    exact_or_refused(&builder, &builder.store, 2).await;
    blames(&builder.store, key).await;
}

/// A file of a few blocks can claim to be as long as it likes. Its index is asked for in pieces, of which the first is
/// refused.
#[tokio::test]
async fn z04_an_index_that_is_merely_claimed_is_neither_read_nor_allocated() {
    let builder = sample().await;
    let directory = tempfile::tempdir().unwrap();
    let (key, size) = (Key::Log(txid(9)), 250 * 1024 * 1024_u64);
    let forged = take_apart(&builder.store, Key::Log(txid(8))).await;
    let mut header = forged.header;
    header.contents = Contents::Segment { first: txid(9), chain: builder.last().chain };
    let footer = Footer {
        kind: header.kind(),
        entries: 1,
        index_offset: Header::SIZE as u64,
        index_length: size - (Header::SIZE + Footer::SIZE) as u64,
        root: [0; 32],
        chain: builder.last().chain,
        last: txid(9),
        digest: builder.last().digest,
    };
    let path = directory.path().join(key.to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(&header.encode(), 0).unwrap();
    file.write_all_at(&footer.encode(), size - Footer::SIZE as u64).unwrap();
    let metered = Metered::new(Arc::new(DirectoryStore::new(directory.path()).unwrap()));
    let object = Object::new(key, size);
    let error = read_index(&metered, &builder.manifest, object).await.unwrap_err();
    assert!(error.is_about_object(), "{error}");
    assert!(metered.bytes() < 1024 * 1024, "{} bytes were read", metered.bytes());
}
