//! S19, S20: objects whose checksums are all right and whose contents are not.

use ebbtide_replica::container::layout::{block_row, counts, entry_row, footer, header, run_row};
use ebbtide_replica::container::{Index, Parsed, limits};
use ebbtide_replica::{Error, Result};

use crate::objects::{parse, read, samples, size};

/// Renews every check over the header, the index and the footer, but for the chain.
pub(crate) fn reseal(object: &mut [u8]) {
    let end = object.len() - footer::SIZE;
    let start = usize::try_from(parse_offset(object)).unwrap().min(end);
    let crc = crc32fast::hash(&object[..header::CRC.offset]);
    object[header::CRC.offset..header::SIZE].copy_from_slice(&crc.to_le_bytes());
    let root = blake3::Hasher::new()
        .update(&object[..header::SIZE])
        .update(&object[start..end])
        .finalize();
    let tail = &mut object[end..];
    tail[footer::ROOT.offset..][..32].copy_from_slice(root.as_bytes());
    let crc = crc32fast::hash(&tail[..footer::CRC.offset]);
    tail[footer::CRC.offset..].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn parse_offset(object: &[u8]) -> u64 {
    let field = object.len() - footer::SIZE + footer::INDEX_OFFSET.offset;
    u64::from_le_bytes(object[field..field + 8].try_into().unwrap())
}

/// Whoever can renew the checksums still cannot change the history: the chain knows its entries, they know their pages,
/// and the blocks tile the object.
#[test]
fn s15_every_changed_byte_of_a_history_is_reported_even_with_the_checks_renewed() {
    for (name, object) in samples(size(512)).into_iter().take(3) {
        let index = usize::try_from(parse_offset(&object)).unwrap();
        for position in (0..header::CRC.offset).chain(index..object.len() - footer::SIZE) {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut changed = object.clone();
                changed[position] ^= flip;
                reseal(&mut changed);
                assert!(read(&changed).is_err(), "{name}: byte {position} ^ {flip:#x}");
            }
        }
    }
}

/// Writes `value` at `offset` of the index of a segment, renews the checks, and answers what the reader says.
#[track_caller]
fn with_index(offset: usize, value: &[u8]) -> Error {
    let (_, mut object) = samples(size(512)).into_iter().next().unwrap();
    let at = usize::try_from(parse_offset(&object)).unwrap() + offset;
    object[at..at + value.len()].copy_from_slice(value);
    reseal(&mut object);
    parse(&object).unwrap_err()
}

#[test]
fn s20_counts_that_the_index_has_no_room_for_are_refused_before_anything_is_allocated() {
    for count in [counts::ENTRIES, counts::BLOCKS, counts::RUNS, counts::DETAILS] {
        for value in [0, 1000, u32::MAX / 8, u32::MAX] {
            let error = with_index(count.offset, &value.to_le_bytes());
            assert!(matches!(error, Error::Damaged { .. }), "{}: {error}", count.name);
        }
    }
}

#[test]
fn s19_blocks_that_claim_to_grow_without_bound_are_refused() {
    let (_, object) = samples(size(512)).into_iter().next().unwrap();
    let entries = parse(&object).unwrap().entries().len();
    let block = counts::SIZE + entries * entry_row::SIZE;
    for raw in [0_u32, 511, 512, 1 << 21, 1 << 30, u32::MAX] {
        let error = with_index(block + block_row::RAW.offset, &raw.to_le_bytes());
        assert!(matches!(error, Error::Damaged { .. }), "{raw}: {error}");
    }
    for stored in [0, u32::MAX] {
        let error = with_index(block + block_row::STORED.offset, &stored.to_le_bytes());
        assert!(matches!(error, Error::Damaged { .. }), "{stored}: {error}");
    }
}

#[test]
fn s20_pages_that_no_database_has_are_refused() {
    let (_, object) = samples(size(512)).into_iter().next().unwrap();
    let index = parse(&object).unwrap();
    let blocks = index.page_blocks().len() + index.hash_blocks().len();
    let run = counts::SIZE + index.entries().len() * entry_row::SIZE + blocks * block_row::SIZE;
    for (field, value) in [
        (run_row::FIRST, 0),
        (run_row::FIRST, 2),
        (run_row::FIRST, u32::MAX),
        (run_row::COUNT, 0),
        (run_row::COUNT, 5),
        (run_row::COUNT, u32::MAX),
    ] {
        let error = with_index(run + field.offset, &value.to_le_bytes());
        assert!(matches!(error, Error::Damaged { .. }), "{}: {error}", field.name);
    }
}

/// Differences and the order of the pages have their place in packs, and there only for all images.
#[test]
fn s19_an_order_or_a_codec_where_it_has_no_place_is_refused() {
    let entries = parse(&samples(size(512))[0].1).unwrap().entries().len();
    let block = counts::SIZE + entries * entry_row::SIZE;
    for (what, sample, value) in [
        ("the order of the pages in a segment", 0, [3, 1]),
        ("differences in the order of the entries", 1, [1, 2]),
        ("differences of hashes", 2, [2, 2]),
    ] {
        let (_, mut object) = samples(size(512)).into_iter().nth(sample).unwrap();
        let at = usize::try_from(parse_offset(&object)).unwrap() + block;
        object[at..at + 2].copy_from_slice(&value);
        reseal(&mut object);
        let error = parse(&object).expect_err(what);
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
    }
}

/// What the first version leaves at zero is refused as newer, not as damage, so that people know what to do.
#[test]
fn what_a_later_version_may_use_is_refused_as_newer() {
    for (field, value) in [
        (header::VERSION, 2),
        (header::KIND, 7),
        (header::FLAGS, 1),
        (header::SUITE, 2),
        (header::PAGE_KEY, 1),
        (header::INDEX_KEY, 1),
        (header::SALT, 1),
        (header::RESERVED, 1),
    ] {
        let (_, mut object) = samples(size(512)).into_iter().next().unwrap();
        object[field.offset] = value;
        reseal(&mut object);
        let error = parse(&object).unwrap_err();
        assert!(matches!(error, Error::Newer { .. }), "{}: {error}", field.name);
    }
    let entry = counts::SIZE;
    let block = entry + 5 * entry_row::SIZE;
    for (offset, value) in [
        (entry + entry_row::KIND.offset, 5),
        (entry + entry_row::FLAGS.offset, 8),
        (entry + entry_row::RESERVED.offset, 1),
        (block + block_row::KIND.offset, 5),
        (block + block_row::CODEC.offset, 3),
        (block + block_row::RESERVED.offset, 1),
    ] {
        let error = with_index(offset, &[value]);
        assert!(matches!(error, Error::Newer { .. }), "{offset}: {error}");
    }
}

#[test]
fn a_footer_that_places_its_index_anywhere_else_is_refused() {
    let (_, object) = samples(size(512)).into_iter().next().unwrap();
    let offset = parse_offset(&object);
    let length = object.len() as u64 - 128 - offset;
    let try_with = |offset: u64, length: u64, object_size: u64| -> Result<Parsed> {
        let mut object = object.clone();
        let tail = object.len() - footer::SIZE;
        object[tail + footer::INDEX_OFFSET.offset..][..8].copy_from_slice(&offset.to_le_bytes());
        object[tail + footer::INDEX_LENGTH.offset..][..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32fast::hash(&object[tail..tail + footer::CRC.offset]);
        object[tail + footer::CRC.offset..].copy_from_slice(&crc.to_le_bytes());
        Index::parse(object_size, &object, &object[tail..])
    };
    let size = object.len() as u64;
    assert!(matches!(try_with(offset, length, size), Ok(Parsed::NeedTail(_))));
    for (offset, length, size) in [
        (offset + 1, length, size),
        (offset, length - 1, size),
        (offset + 1, length - 1, size + 1),
        (0, offset + length, size),
        (u64::MAX, length, size),
        (u64::MAX - length - 127, length, size),
        (offset, u64::MAX, size),
        (offset, 15, offset + 15 + 128),
        (128, limits::INDEX_SIZE_MAX + 1, 128 + limits::INDEX_SIZE_MAX + 1 + 128),
        (offset, length, u64::MAX),
        (offset, length, 0),
    ] {
        assert!(try_with(offset, length, size).is_err(), "{offset} {length} {size}");
    }
}
