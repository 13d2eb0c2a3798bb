//! What goes into a writer comes out of a reader, and only that goes in which a reader accepts.

use std::slice::from_ref;

use ebbtide_replica::container::{Contents, Header, Index, Parsed, Writer, limits};
use ebbtide_replica::{Chain, Digest, EntryFlags, EntryKind, Error, Key, Txid};
use proptest::prelude::*;

use crate::objects::{
    Change, Pages, REPLICA, Step, digest_of, image, merge, number, play, read, sample_steps,
    samples, segment, size, txid, write,
};

fn change() -> impl Strategy<Value = Change> {
    let touched = prop::collection::vec(0_u32..40, 0..6);
    let detail = prop_oneof![4 => Just(0_usize), 1 => 1_usize..200];
    (prop::bool::weighted(0.1), 0_u32..24, touched, any::<u64>(), any::<bool>(), detail, 0_i64..9)
        .prop_map(|(claim, database_pages, touched, seed, plain, detail, later)| Change {
            claim,
            database_pages,
            touched,
            seed,
            plain,
            detail,
            later,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_comes_back_entry_for_entry_and_page_for_page(
        bits in 9_u32..=16,
        changes in prop::collection::vec(change(), 1..12),
        take_at in 1_usize..100_000,
    ) {
        let page_size = size(1 << bits);
        let steps = play(page_size, &changes);
        let header = segment(page_size);
        let (object, footer) = write(header, None, &steps, usize::MAX).unwrap();
        let (piecemeal, _) = write(header, None, &steps, take_at).unwrap();
        prop_assert!(object == piecemeal, "taking what is encoded changes what is encoded");

        let (index, entries) = read(&object).unwrap();
        prop_assert_eq!(index.footer(), &footer);
        prop_assert_eq!(entries.len(), steps.len());
        for ((entry, pages), step) in index.entries().iter().zip(&entries).zip(&steps) {
            prop_assert_eq!(entry.txid, step.start.txid);
            prop_assert_eq!(entry.kind, step.start.kind);
            prop_assert_eq!(entry.flags, step.start.flags);
            prop_assert_eq!(entry.time, step.start.time);
            prop_assert_eq!(entry.database_pages, step.start.database_pages);
            prop_assert_eq!(&entry.detail, &step.start.detail);
            prop_assert_eq!(entry.digest, step.digest);
            prop_assert!(pages == &step.pages, "entry {} has other pages", entry.txid);
        }
    }

    #[test]
    fn any_state_comes_back_as_a_snapshot(changes in prop::collection::vec(change(), 1..8)) {
        let page_size = size(1024);
        let steps = play(page_size, &changes);
        let state = merge(page_size, &steps);
        let contents = Contents::Snapshot { txid: state.start.txid };
        let header = Header { contents, ..segment(page_size) };
        let chain = Chain::from_bytes([7; 32]);
        let (object, _) = write(header, Some(chain), from_ref(&state), 1000).unwrap();
        let (index, entries) = read(&object).unwrap();
        prop_assert_eq!(index.footer().chain, chain);
        prop_assert_eq!(digest_of(&entries[0]), state.digest);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes).is_err());
        let (_, sample) = samples(size(512)).into_iter().next().unwrap();
        bytes.splice(0..0, sample);
        prop_assert!(read(&bytes).is_err() || bytes.len() == samples(size(512))[0].1.len());
    }
}

#[test]
fn the_four_kinds_have_the_names_that_their_contents_give_them() {
    let (first, last) = (Txid::FIRST, txid(5));
    let keys = [
        Key::Log(first),
        Key::Pack { first, last },
        Key::Pack { first, last },
        Key::Delta { first: txid(3), last },
        Key::Snapshot(last),
    ];
    for ((_, object), key) in samples(size(512)).into_iter().zip(keys) {
        assert_eq!(read(&object).unwrap().0.key(), key);
    }
}

#[test]
fn an_index_is_read_from_the_end_in_two_steps() {
    for (name, object) in samples(size(4096)) {
        let length = object.len();
        let parse = |tail: usize| {
            Index::parse(length as u64, &object[..Header::SIZE], &object[length - tail..]).unwrap()
        };
        let Parsed::NeedTail(128) = parse(0) else { panic!("{name}: no footer") };
        let Parsed::NeedTail(needed) = parse(128) else { panic!("{name}: no index") };
        let needed = usize::try_from(needed).unwrap();
        assert!(matches!(parse(needed - 1), Parsed::NeedTail(_)), "{name}");
        for enough in [needed, needed + 1, length] {
            assert!(matches!(parse(enough), Parsed::Ready(_)), "{name}");
        }
    }
}

/// More pages than one block of hashes holds, in entries that begin and end anywhere.
#[test]
fn page_hashes_are_written_in_bounded_blocks() {
    let page_size = size(512);
    let pages = u32::try_from(limits::BLOCK_HASHES_MAX).unwrap();
    let all = |count: u32| -> Pages {
        (1..=count).map(|page| (page, vec![page.to_le_bytes()[0]; 512])).collect()
    };
    let mut steps = sample_steps(page_size);
    steps.truncate(3);
    for (step, count) in steps[1..].iter_mut().zip([10, 2 * pages + 5]) {
        step.pages = all(count);
        step.start.database_pages = count;
        step.start.flags = EntryFlags::COMPLETE;
        step.digest = digest_of(&step.pages);
    }
    let (object, _) = write(segment(page_size), None, &steps, 1 << 20).unwrap();
    let (index, entries) = read(&object).unwrap();
    assert_eq!(index.hash_blocks().len(), 3);
    assert!(index.hash_blocks().iter().all(|block| block.raw_len as usize <= 1 << 20));
    assert!(entries[2] == steps[2].pages);
}

#[test]
fn the_lock_page_is_left_out_and_its_neighbours_are_not() {
    let page_size = size(65536);
    let lock = 16_385;
    let contents = Contents::Segment { first: txid(9), chain: Chain::from_bytes([1; 32]) };
    let header = Header { contents, ..segment(page_size) };
    let mut steps = sample_steps(page_size)[1..2].to_vec();
    steps[0].start.txid = txid(9);
    steps[0].start.flags = EntryFlags::NONE;
    steps[0].start.database_pages = lock + 1;
    steps[0].pages =
        [lock - 1, lock + 1].map(|page| (page, image(page_size, page.into(), false))).into();
    let (object, _) = write(header, None, &steps, usize::MAX).unwrap();
    let (index, entries) = read(&object).unwrap();
    assert_eq!(index.entries()[0].runs.len(), 2);
    assert!(entries[0] == steps[0].pages);
    steps[0].pages.insert(lock, vec![0; 65536]);
    refused(header, &steps, "page 16385");
}

#[track_caller]
fn refused(header: Header, steps: &[Step], why: &str) {
    let error = write(header, None, steps, usize::MAX).unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_writer_refuses_what_no_reader_would_accept() {
    let page_size = size(512);
    let header = segment(page_size);
    let good = sample_steps(page_size);
    let try_with = |change: &dyn Fn(&mut Vec<Step>), why: &str| {
        let mut steps = good.clone();
        change(&mut steps);
        refused(header, &steps, why);
    };
    try_with(&|steps| steps.clear(), "no entries");
    try_with(&|steps| drop(steps.remove(0)), "does not follow");
    try_with(&|steps| drop(steps.remove(2)), "does not follow");
    try_with(&|steps| steps[2].start.time = steps[0].start.time, "is before");
    try_with(&|steps| steps[3].start.kind = EntryKind::Image, "no place here");
    try_with(&|steps| steps[3].start.flags = EntryFlags::FORK, "has flags");
    try_with(&|steps| steps[3].start.flags = EntryFlags::COMPLETE, "complete with");
    try_with(&|steps| steps[1].digest = steps[2].digest, "add up");
    try_with(&|steps| steps[0].digest = steps[2].digest, "a digest");
    try_with(&|steps| steps[0].start.detail = vec![b' '; 65537], "detail has 65537");
    try_with(&|steps| steps[3].start.database_pages = u32::MAX, "no database has");
    try_with(&|steps| steps[3].start.database_pages = 6, "page 7");
    try_with(&|steps| drop(steps[3].pages.remove(&6)), "2 of 3 pages");
    try_with(&|steps| drop(steps[3].pages.insert(2, vec![0; 511])), "511 bytes");
    try_with(&|steps| drop(steps[3].pages.insert(2, vec![0; 513])), "513 bytes");
    let claim = |steps: &mut Vec<Step>| {
        let pages = Pages::new();
        steps[4] = Step { pages, digest: Digest::EMPTY, ..steps[4].clone() };
        steps[4].start.kind = EntryKind::Claim;
    };
    try_with(&claim, "changes the database");
}

#[test]
fn a_writer_refuses_calls_out_of_order() {
    let page_size = size(512);
    let step = sample_steps(page_size).remove(1);
    let snapshot =
        Header { contents: Contents::Snapshot { txid: step.start.txid }, ..segment(page_size) };
    let page = vec![0; 512];
    let chain = Chain::genesis(REPLICA);
    assert!(Writer::new(snapshot).page(number(1), &page).is_err());
    assert!(Writer::new(snapshot).end_entry(step.digest).is_err());
    let mut writer = Writer::new(snapshot);
    writer.begin_entry(step.start.clone()).unwrap();
    assert!(writer.begin_entry(step.start.clone()).is_err());
    writer.page(number(2), &page).unwrap();
    assert!(writer.page(number(2), &page).is_err());
    assert!(writer.page(number(1), &page).is_err());
    assert!(writer.finish_at(chain).is_err(), "its entry is not ended");

    let state = merge(page_size, &[step]);
    let error = write(snapshot, None, from_ref(&state), 1).unwrap_err();
    assert!(error.to_string().contains("chain"), "{error}");
    let two = [state.clone(), state];
    assert!(write(snapshot, Some(chain), &two, 1).is_err(), "a snapshot has one entry");
    let steps = sample_steps(page_size);
    assert!(write(segment(page_size), Some(chain), &steps, 1).is_err(), "a log has its own chain");
}
