//! The loops that bytes go through on their way into a replica and out of it, each beside the limit that it is held
//! against: the same work without what is ours.
//!
//! Printed is the best of several rounds of each: the round that was disturbed least.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ebbtide_replica::container::{BlockScratch, Contents, EntryStart, Header, Index, Writer};
use ebbtide_replica::{
    Chain, Digest, EntryFlags, EntryKind, ReplicaId, Timestamp, Txid, hash_pages, page_hash,
};
use ebbtide_wal::{ByteOrder, Checksum, PageNumber, PageSize};

use crate::Result;

/// Larger than the CPU's caches.
const BYTES: usize = 64 << 20;
const PAGE: usize = 4096;
const BLOCK: usize = 128 << 10;
const ROUNDS: usize = 7;

/// Measures all loops.
pub(crate) fn run() -> Result<()> {
    let database = database();
    let copy = {
        let mut to = vec![0_u8; BYTES];
        measure(|| black_box(&mut to).copy_from_slice(black_box(&database)))
    };
    println!("{:34} {:>9}", "memory copy", rate(copy));
    checksums(&database, copy);
    hashes(&database);
    blocks(&database)?;
    objects(&database)
}

/// The log's checksum is a chain of additions: each pair of words waits for the one before, two additions long.
fn checksums(database: &[u8], copy: Duration) {
    let frame = measure(|| {
        let sum = database
            .chunks_exact(PAGE)
            .fold(Checksum::default(), |sum, page| sum.extend(ByteOrder::Little, black_box(page)));
        black_box(sum);
    });
    let chain = measure(|| {
        let (mut s0, mut s1) = (1_u32, 2_u32);
        for _ in 0..BYTES / 8 {
            s0 = s0.wrapping_add(1).wrapping_add(s1);
            s1 = s1.wrapping_add(1).wrapping_add(s0);
        }
        black_box((s0, s1));
    });
    let crc = measure(|| {
        black_box(database.chunks_exact(BLOCK).map(crc32fast::hash).fold(0, |sum, crc| sum ^ crc));
    });
    against("frame checksum", frame, "two additions a pair", chain);
    against("CRC32 of a block", crc, "memory copy", copy);
}

/// The hash of each page and the digest of all, against BLAKE3 of the same bytes in one go, which is all that its
/// authors offer; and what a page costs that comes alone.
fn hashes(database: &[u8]) {
    let numbers: Vec<PageNumber> = (1..).take(BYTES / PAGE).filter_map(PageNumber::new).collect();
    let ours = measure(|| {
        let mut digest = Digest::EMPTY;
        hash_pages(&numbers, database, |_, hash| digest = digest.toggle(hash));
        black_box(digest);
    });
    let pages = measure(|| {
        let pages = numbers.iter().zip(database.chunks_exact(PAGE));
        let hashes = pages.map(|(&number, image)| page_hash(number, image));
        black_box(hashes.fold(Digest::EMPTY, Digest::toggle));
    });
    let whole = measure(|| {
        black_box(blake3::hash(database));
    });
    against("page hashes and digest", ours, "BLAKE3 of all at once", whole);
    against("page hashes, one by one", pages, "BLAKE3 of all at once", whole);
}

fn blocks(database: &[u8]) -> Result<()> {
    let room = lz4_flex::block::get_maximum_output_size(BLOCK);
    let mut packed = vec![0; room];
    let pack = measure(|| {
        for block in database.chunks_exact(BLOCK) {
            black_box(lz4_flex::block::compress_into(block, &mut packed).ok());
        }
    });
    println!("{:34} {:>9}", "LZ4 alone, packing", rate(pack));
    let blocks: Vec<Vec<u8>> =
        database.chunks_exact(BLOCK).map(lz4_flex::block::compress).collect();
    let mut raw = vec![0; BLOCK];
    let unpack = measure(|| {
        for block in &blocks {
            black_box(lz4_flex::block::decompress_into(block, &mut raw).ok());
        }
    });
    println!("{:34} {:>9}", "LZ4 alone, unpacking", rate(unpack));
    let object = write(database)?;
    let index = parse(&object)?;
    let mut scratch = BlockScratch::default();
    let ours = measure(|| {
        for block in index.page_blocks() {
            let stored = range(&object, block.offset, block.end());
            black_box(block.decode_into(index.opener(), stored, &mut scratch).is_ok());
        }
    });
    against("decoding a block, CRC32 included", ours, "LZ4 alone, unpacking", unpack);
    Ok(())
}

/// A whole object: hashed, copied, compressed, checksummed, and its index built and read.
fn objects(database: &[u8]) -> Result<()> {
    let ours = measure(|| {
        // What is written goes on its way, and is not collected.
        black_box(write_to(database, |part| drop(black_box(part))).is_ok());
    });
    let room = lz4_flex::block::get_maximum_output_size(BLOCK);
    let mut packed = vec![0; room];
    let parts = measure(|| {
        for block in database.chunks_exact(BLOCK) {
            black_box(blake3::hash(block));
            black_box(lz4_flex::block::compress_into(block, &mut packed).ok());
        }
    });
    against("writing an object", ours, "BLAKE3 and LZ4 alone", parts);
    let object = write(database)?;
    let tail = &object[object.len() - object.len() / 16..];
    let begun = Instant::now();
    let rounds = 100_u32;
    for _ in 0..rounds {
        black_box(Index::parse(object.len() as u64, &object[..Header::SIZE], tail)?);
    }
    let index = parse(&object)?;
    let each = begun.elapsed() / rounds;
    let length = index.footer().index_length;
    println!(
        "{:34} {each:>9.1?} for {length} bytes, {} blocks",
        "reading an index",
        index.page_blocks().len()
    );
    Ok(())
}

/// A snapshot of `database`.
fn write(database: &[u8]) -> Result<Vec<u8>> {
    let mut object = Vec::with_capacity(database.len());
    write_to(database, |mut part| object.append(&mut part))?;
    Ok(object)
}

/// What is encoded is taken in pieces of so many bytes.
const TAKEN_BYTES: usize = 1 << 20;

/// Hands over a snapshot of `database` in parts.
fn write_to(database: &[u8], mut each: impl FnMut(Vec<u8>)) -> Result<()> {
    let page_size = PageSize::new(u32::try_from(PAGE)?).ok_or("a size of pages")?;
    let contents = Contents::Snapshot { txid: Txid::FIRST };
    let replica = ReplicaId::from_bytes([1; 16]);
    let mut writer = Writer::new(Header { replica, page_size, contents });
    writer.begin_entry(EntryStart {
        txid: Txid::FIRST,
        kind: EntryKind::Image,
        flags: EntryFlags::COMPLETE,
        time: Timestamp::EPOCH,
        database_pages: u32::try_from(database.len() / PAGE)?,
        detail: Vec::new(),
    })?;
    let mut digest = Digest::EMPTY;
    for (number, image) in (1..).zip(database.chunks_exact(PAGE)) {
        writer.page(PageNumber::new(number).ok_or("a page")?, image)?;
        digest = writer.hashed().fold(digest, |digest, (_, hash)| digest.toggle(hash));
        if writer.buffered() > TAKEN_BYTES {
            each(writer.take(TAKEN_BYTES, Vec::with_capacity(2 * TAKEN_BYTES)));
        }
    }
    writer.hash_pages();
    digest = writer.hashed().fold(digest, |digest, (_, hash)| digest.toggle(hash));
    writer.end_entry(digest)?;
    each(writer.finish_at(Chain::from_bytes([2; 32]))?.tail);
    Ok(())
}

fn parse(object: &[u8]) -> Result<Index> {
    match Index::parse(object.len() as u64, object, object)? {
        ebbtide_replica::container::Parsed::Ready(index) => Ok(index),
        ebbtide_replica::container::Parsed::NeedTail(_) => Err("all of it is there".into()),
    }
}

fn range(object: &[u8], start: u64, end: u64) -> &[u8] {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range.and_then(|(start, end)| object.get(start..end)).unwrap_or_default()
}

/// Bytes that compress to about half.
fn database() -> Vec<u8> {
    let mut state = 1_u64;
    let mut database = vec![b' '; BYTES];
    for chunk in database.chunks_exact_mut(16) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk[..8].copy_from_slice(&state.rotate_left(29).to_le_bytes());
    }
    database
}

/// The shortest of several rounds.
fn measure(mut work: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn rate(time: Duration) -> String {
    format!("{:.2} GB/s", BYTES as f64 / time.as_secs_f64() / 1e9)
}

fn against(what: &str, ours: Duration, limit: &str, theirs: Duration) {
    let share = theirs.as_secs_f64() / ours.as_secs_f64() * 100.0;
    println!("{what:34} {:>9}   {share:3.0} % of {limit} ({})", rate(ours), rate(theirs));
}
