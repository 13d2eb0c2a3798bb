//! Packs whose images lie in the order of the pages, as differences to each other: what comes back, how far a block
//! reaches, and what nobody can make a reader believe.

use ebbtide_replica::container::{Block, BlockKind, Codec, EntryStart, Index, Opener, limits};
use ebbtide_replica::{Chain, Digest, EntryFlags, EntryKind, Error, Timestamp};
use ebbtide_wal::PageSize;
use proptest::prelude::*;

use crate::objects::{
    Pages, REPLICA, Step, digest_of, image, pack, parse, read, size, stored, txid, write,
    write_by_page,
};

/// What a commit does to a page, as a b-tree does it.
#[derive(Debug, Clone)]
enum Edit {
    /// States bytes where others are.
    Overwrite { at: usize, length: usize, seed: u64 },
    /// Moves all that is between two places, as an array of pointers is moved, and fills the gap.
    Insert { at: usize, end: usize, length: usize, seed: u64 },
    /// Takes over another page, as VACUUM does.
    Copy { from: usize },
    /// Takes over a part of another page, as a page that is split does.
    Share { from: usize, at: usize },
    /// Starts again.
    Fresh { seed: u64, plain: bool },
    /// Changes nothing.
    Same,
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = || 0_usize..65_536;
    prop_oneof![
        4 => (place(), 1_usize..300, any::<u64>())
            .prop_map(|(at, length, seed)| Edit::Overwrite { at, length, seed }),
        4 => (place(), place(), 1_usize..9, any::<u64>())
            .prop_map(|(at, end, length, seed)| Edit::Insert { at, end, length, seed }),
        1 => place().prop_map(|from| Edit::Copy { from }),
        1 => (place(), place()).prop_map(|(from, at)| Edit::Share { from, at }),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(seed, plain)| Edit::Fresh { seed, plain }),
        1 => Just(Edit::Same),
    ]
}

/// The image of a page that is `old` after an edit; `others` are all pages.
fn edited(page_size: PageSize, old: &[u8], others: &Pages, edit: &Edit) -> Vec<u8> {
    let bytes = page_size.bytes();
    let other = |from: usize| others.values().nth(from % others.len()).unwrap();
    let mut new = old.to_vec();
    match *edit {
        Edit::Overwrite { at, length, seed } => {
            let at = at % bytes;
            let end = (at + length).min(bytes);
            new[at..end].copy_from_slice(&image(page_size, seed, false)[..end - at]);
        }
        Edit::Insert { at, end, length, seed } => {
            let (at, end) = ((at % bytes).min(end % bytes), (at % bytes).max(end % bytes));
            let length = length.min(end - at);
            new.copy_within(at..end - length, at + length);
            new[at..at + length].copy_from_slice(&image(page_size, seed, false)[..length]);
        }
        Edit::Copy { from } => new.copy_from_slice(other(from)),
        Edit::Share { from, at } => {
            let (half, at) = (bytes / 2, at % (bytes / 2));
            new[at..at + half].copy_from_slice(&other(from)[half..]);
        }
        Edit::Fresh { seed, plain } => new = image(page_size, seed, plain),
        Edit::Same => {}
    }
    new
}

/// A commit: how many pages the database has after it, and which of them are edited.
type Commit = (u32, Vec<(u32, Edit)>);

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let edits = prop::collection::vec((0_u32..12, edit()), 0..6);
    prop::collection::vec((1_u32..12, edits), 1..40)
}

/// The entries of these commits, after a claim.
fn play(page_size: PageSize, commits: &[Commit]) -> Vec<Step> {
    let start = |number, kind, flags, database_pages| EntryStart {
        txid: txid(number),
        kind,
        flags,
        time: Timestamp::EPOCH,
        database_pages,
        detail: Vec::new(),
    };
    let (none, complete) = (EntryFlags::NONE, EntryFlags::COMPLETE);
    let claim = start(1, EntryKind::Claim, none, 0);
    let digest = Digest::EMPTY;
    let mut steps = vec![Step { start: claim, pages: Pages::new(), digest, vouched: None }];
    let mut database = Pages::new();
    for ((database_pages, edits), number) in commits.iter().zip(2..) {
        let mut pages = Pages::new();
        for page in 1..=*database_pages {
            if !database.contains_key(&page) {
                pages.insert(page, image(page_size, page.into(), page % 2 == 0));
            }
        }
        database.retain(|page, _| page <= database_pages);
        database.extend(pages.clone());
        for (page, edit) in edits {
            let page = page % database_pages + 1;
            let new = edited(page_size, &database[&page], &database, edit);
            pages.insert(page, new.clone());
            database.insert(page, new);
        }
        let flags = if pages.len() == database.len() { complete } else { none };
        let start = start(number, EntryKind::Commit, flags, *database_pages);
        steps.push(Step { start, pages, digest: digest_of(&database), vouched: None });
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_comes_back_by_page_as_it_does_in_order(
        bits in 9_u32..=16,
        commits in commits(),
    ) {
        let page_size = size(1 << bits);
        let steps = play(page_size, &commits);
        let (in_order, _) = write(pack(page_size), None, &steps, usize::MAX).unwrap();
        let (by_page, footer) = write_by_page(page_size, &steps).unwrap();
        let ((index, entries), (plain, same)) = (read(&by_page).unwrap(), read(&in_order).unwrap());
        prop_assert!(index.is_by_page() && !plain.is_by_page());
        prop_assert_eq!(index.entries(), plain.entries());
        prop_assert!(entries == same, "other pages");
        prop_assert_eq!((footer.chain, footer.digest), (plain.footer().chain, plain.footer().digest));
        // A page and its earlier images take a row more here and there, which a small pack notices. What pages of one
        // commit have in common lies in one block only where they are in order.
        let in_common = |(_, edit): &&(u32, Edit)| matches!(edit, Edit::Copy { .. } | Edit::Share { .. });
        let common = commits.iter().flat_map(|(_, edits)| edits).filter(in_common).count();
        let more = in_order.len() / 64 + 512 + common * page_size.bytes();
        prop_assert!(by_page.len() <= in_order.len() + more, "{} and {}", by_page.len(), in_order.len());
        check_order(&index);
    }
}

/// The pages as they lie in the blocks are those of the entries, each page side by side.
fn check_order(index: &Index) {
    let by_page: Vec<_> = index.pages_by_page(0).collect();
    let mut by_entry: Vec<_> =
        (0..index.entries().len()).flat_map(|entry| index.pages(entry)).collect();
    assert!(by_entry.is_sorted_by_key(|page| page.ordinal));
    by_entry.sort_by_key(|page| (page.block, page.index));
    assert_eq!(by_page, by_entry);
    assert!(by_page.is_sorted_by_key(|page| (page.number, page.ordinal)));
    for block in 0..index.page_blocks().len() {
        let begin = by_page.iter().position(|page| page.block == block).unwrap();
        assert!(index.pages_by_page(block).eq(by_page[begin..].iter().copied()));
    }
}

/// 1,000 commits that each change little in one of two pages.
fn hot() -> Vec<Step> {
    let edit = |number: u64| Edit::Overwrite {
        at: usize::try_from(number % 20).unwrap() * 200,
        length: 3,
        seed: number,
    };
    let commit = |number| (2, vec![(u32::from(number % 3 == 0), edit(number))]);
    let begin = (
        2,
        vec![
            (0, Edit::Fresh { seed: 9, plain: false }),
            (1, Edit::Fresh { seed: 8, plain: false }),
        ],
    );
    let commits: Vec<Commit> = std::iter::once(begin).chain((0..1000).map(commit)).collect();
    play(size(4096), &commits)
}

#[test]
fn small_changes_cost_little_and_each_block_decodes_by_itself() {
    let steps = hot();
    let (object, _) = write_by_page(size(4096), &steps).unwrap();
    let (index, _) = read(&object).unwrap();
    let blocks = index.page_blocks();
    let bytes: u32 = blocks.iter().map(|block| block.stored_len).sum();
    assert!(bytes / 1000 < 40, "{bytes} bytes for a thousand changes of three bytes");
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for (number, block) in blocks.iter().enumerate() {
        assert_eq!(block.codec, Codec::Records);
        assert!(block.raw_len as usize <= limits::BLOCK_RAW_MAX);
        // Nothing but its own bytes.
        let raw = block.decode(&Opener::PLAIN, stored(&object, block)).unwrap();
        for page in index.pages_by_page(number).take(block.count as usize) {
            let entry = steps
                .iter()
                .find(|step| page.ordinal < ordinals(&steps, step.start.txid.get()))
                .unwrap();
            assert!(raw[page.index * 4096..][..4096] == entry.pages[&page.number.get()]);
        }
    }
}

/// How many pages the entries up to this one carry.
fn ordinals(steps: &[Step], txid: u64) -> u64 {
    let before = steps.iter().filter(|step| step.start.txid.get() <= txid);
    before.map(|step| step.pages.len() as u64).sum()
}

/// What a damaged block costs is the images in it, and no other block.
#[test]
fn a_damaged_block_costs_its_own_images_and_no_others() {
    let steps = hot();
    let (object, _) = write_by_page(size(4096), &steps).unwrap();
    let index = parse(&object).unwrap();
    for damaged in index.page_blocks() {
        let mut object = object.clone();
        object[usize::try_from(damaged.offset).unwrap() + 100] ^= 1;
        for block in index.page_blocks() {
            let fails = block.decode(&Opener::PLAIN, stored(&object, block)).is_err();
            assert_eq!(fails, block.offset == damaged.offset);
        }
    }
}

/// The answer to a block of three images of 512 bytes with these records.
fn decode(records: &[u8]) -> Result<Vec<u8>, Error> {
    let length = u32::try_from(records.len()).unwrap().to_le_bytes();
    decode_stored(&[&length[..], &lz4_flex::block::compress(records)].concat())
}

fn decode_stored(stored: &[u8]) -> Result<Vec<u8>, Error> {
    let block = Block {
        kind: BlockKind::ByPage,
        offset: 128,
        first: 0,
        stored_len: u32::try_from(stored.len()).unwrap(),
        raw_len: 3 * 512,
        count: 3,
        crc: crc32fast::hash(stored),
        codec: Codec::Records,
    };
    block.decode(&Opener::PLAIN, stored)
}

/// The record of an image itself.
fn whole() -> Vec<u8> {
    [&[0x80, 0x04][..], &[7; 512]].concat()
}

/// Whatever a forger writes into a block is refused, or gives images, which their hashes tell. There is no way to
/// name a base that is not the image before.
#[test]
fn s19_forged_records_are_refused() {
    let with = |rest: &[u8]| [&whole()[..], rest].concat();
    let sound = decode(&with(&[0, 5, 20, 3, 1, 2, 3])).unwrap();
    let third = [&[7; 10][..], &[1, 2, 3], &[7; 499]].concat();
    assert_eq!((&sound[..1024], &sound[1024..]), (&[7; 1024][..], &third[..]));
    for (why, records) in [
        ("the first is a difference", [&[0, 0][..], &whole()].concat()),
        ("one is longer than an image", with(&[&[0, 0x81, 0x04][..], &[1; 513]].concat())),
        ("one is cut off", with(&[0, 9, 0, 1])),
        ("it ends within a number", with(&[0])),
        ("there are more than images", with(&[0, 0, 0])),
        ("a number is too long", with(&[0, 0x80, 0x80, 0x80, 0x00])),
        ("a number is too long", with(&[0, 4, 0x80, 0x80, 0x80, 0x00])),
        // Copies 512 bytes from one byte after the beginning of the base, and from one before.
        ("it copies too much", with(&[0, 4, 0x81, 0x08, 2, 0])),
        ("it copies from nowhere", with(&[0, 4, 0x81, 0x08, 1, 0])),
        // As many bytes as the longest number has.
        ("it copies too much", with(&[0, 4, 0xfe, 0xff, 0x7f, 0])),
        ("it is cut off", with(&[0, 3, 0, 2, 9])),
        ("it is too long", with(&[0, 6, 0x80, 0x08, 3, 1, 2, 3])),
    ] {
        let error = decode(&records).expect_err(why);
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
}

#[test]
fn s19_lengths_that_a_block_has_not_are_refused_before_memory_is_taken() {
    let records = [&whole()[..], &[0, 0]].concat();
    let packed = lz4_flex::block::compress(&records);
    for length in [0, 1, 512, 1023, 3 * 512 + 10, 1 << 20, u32::MAX] {
        let stored = [&length.to_le_bytes()[..], &packed].concat();
        assert!(matches!(decode_stored(&stored), Err(Error::Damaged { .. })), "{length}");
    }
    for stored in [&[][..], &[1, 0, 0], &[0; 4], &[255; 40]] {
        assert!(matches!(decode_stored(stored), Err(Error::Damaged { .. })), "{stored:?}");
    }
}

/// A pack whose entries carry more pages than a reader takes in this order is not written.
#[test]
fn s20_more_images_than_a_reader_sorts_are_not_written() {
    let images = limits::BY_PAGE_IMAGES_MAX;
    let plain: Pages = (1..=images + 1).map(|page| (page, vec![1; 512])).collect();
    let mut steps = play(size(512), &[(1, Vec::new())]);
    steps[1].start.database_pages = images + 1;
    steps[1].digest = digest_of(&plain);
    steps[1].pages = plain;
    assert!(matches!(write_by_page(size(512), &steps), Err(Error::Unwritable { .. })));
    let (object, _) = write(pack(size(512)), None, &steps, usize::MAX).unwrap();
    assert_eq!(parse(&object).unwrap().header().chain(), Some(Chain::genesis(REPLICA)));
}
