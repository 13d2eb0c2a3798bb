//! Any bytes as an object: as they are, and with its checksums renewed, so that what lies behind them is reached; and as
//! the inside of an encrypted one.
//!
//! What is accepted must be whole: it can be read to the last page, and written again with the same history.

#![no_main]

use ebbtide_replica::container::layout::{block_row, counts, entry_row, footer, header};
use ebbtide_replica::container::{
    Block, Contents, EntryStart, Header, Index, Outside, Parsed, Sealing, Writer, page_hashes,
};
use ebbtide_replica::{
    Chain, Digest, EntryFlags, EntryKind, Horizon, Key, Mark, ReplicaId, Result, Timestamp, Txid,
    page_hash,
};
use ebbtide_seal::{KeyUse, Keys, ObjectKey, Salt, SecretKey, TAG_SIZE};
use ebbtide_wal::PageSize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    parse_in_parts(bytes);
    read(bytes);
    read_sealed(bytes);
    let mut renewed = bytes.to_vec();
    if renew(&mut renewed).is_some() {
        read(&renewed);
    }
});

/// The answer must not depend on how much of the end is at hand, but for how much more is wanted.
fn parse_in_parts(bytes: &[u8]) {
    let whole = Index::parse(bytes.len() as u64, bytes, bytes).is_ok();
    let mut tail = 0;
    loop {
        match Index::parse(bytes.len() as u64, bytes, &bytes[bytes.len() - tail..]) {
            Ok(Parsed::NeedTail(needed)) => {
                let needed = usize::try_from(needed).expect("as long as the object at most");
                assert!(needed > tail && (needed <= bytes.len() || !whole));
                if needed > bytes.len() {
                    return;
                }
                tail = needed;
            }
            answer => return assert_eq!(answer.is_ok(), whole),
        }
    }
}

/// The bytes as what lies in an encrypted segment: its blocks, and its index with what is before that. Whoever has the keys
/// can write what he likes there, so the reader must hold it to the same rules.
fn read_sealed(bytes: &[u8]) {
    let Some((split, plain)) = bytes.split_first_chunk::<2>() else { return };
    let (blocks, index) = plain.split_at(usize::from(u16::from_le_bytes(*split)).min(plain.len()));
    let sealing = Sealing {
        pages: Some(SecretKey::from_bytes([1; 32])),
        index: SecretKey::from_bytes([2; 32]),
    };
    let keys: Keys = sealing.pages.iter().chain([&sealing.index]).cloned().collect();
    let object = sealed(&sealing, blocks, index);
    let outside = Outside::parse(object.len() as u64, &object, &object);
    if let Ok(Some(outside)) = outside {
        let mut check = outside.check();
        check.push(&object[header::SIZE..object.len() - footer::SIZE]).expect("it is as long");
        check.finish().expect("it was written so");
    }
    read_with(&object, &keys);
}

/// An encrypted segment with these blocks, as they are stored, and this index.
fn sealed(sealing: &Sealing, blocks: &[u8], index: &[u8]) -> Vec<u8> {
    let claim = claim(sealing);
    let start = header::SIZE + blocks.len();
    let mut end = claim[claim.len() - footer::SIZE..].to_vec();
    let length = (index.len() + TAG_SIZE) as u64;
    end[footer::INDEX_OFFSET.offset..][..8].copy_from_slice(&(start as u64).to_le_bytes());
    end[footer::INDEX_LENGTH.offset..][..8].copy_from_slice(&length.to_le_bytes());
    let associated = [&end[..footer::ROOT.offset], &end[footer::LAST.offset..][..8]].concat();
    let (head, name) = (&claim[..header::CRC.offset], Key::Log(Txid::FIRST).to_string());
    let key = ObjectKey::derive(&sealing.index, KeyUse::Index, &SALT, head, &name);
    let mut object = [&claim[..header::SIZE], blocks, index].concat();
    key.seal_index(start as u64, &associated, &mut object, start);
    end[footer::CHAIN.offset..][..32]
        .copy_from_slice(blake3::hash(&object[header::SIZE..start]).as_bytes());
    object.extend_from_slice(&end);
    // There are no block rows in the open that could be renewed.
    renew_ends(&mut object, start);
    object
}

const SALT: Salt = Salt::from_bytes([3; 24]);

/// A claim, of which the header and the footer are taken.
fn claim(sealing: &Sealing) -> Vec<u8> {
    let replica = ReplicaId::from_bytes([7; 16]);
    let contents = Contents::Segment { first: Txid::FIRST, chain: Chain::genesis(replica) };
    let page_size = PageSize::new(512).expect("there is such a size");
    let header = Header { replica, page_size, contents };
    let sealer = sealing.with_salt(&header, Txid::FIRST, SALT);
    let mut writer = Writer::sealed(header, sealer);
    let start = EntryStart {
        txid: Txid::FIRST,
        kind: EntryKind::Claim,
        flags: EntryFlags::NONE,
        time: Timestamp::EPOCH,
        database_pages: 0,
        detail: Vec::new(),
    };
    writer.begin_entry(start).expect("it is the first");
    writer.end_entry(Digest::EMPTY).expect("a claim has no pages");
    writer.finish().expect("it has an entry").tail
}

/// Reads all of an object, if it is one.
fn read(object: &[u8]) {
    read_with(object, &Keys::NONE);
}

fn read_with(object: &[u8], keys: &Keys) {
    if let Ok((horizon, _)) = Horizon::parse(object) {
        let again = horizon.encode().expect("the reader accepted it");
        assert_eq!(Horizon::parse(&again).expect("it was written").0, horizon);
    }
    if let Ok(mark) = Mark::parse(object) {
        let again = mark.encode().expect("the reader accepted it");
        assert_eq!(Mark::parse(&again).expect("it was written"), mark);
    }
    let opened = Index::open(object.len() as u64, object, object, keys);
    let Ok(Parsed::Ready(index)) = opened else { return };
    let decode = |block: &Block| block.decode(index.opener(), stored(object, block));
    let blocks: Result<Vec<_>> = index.page_blocks().iter().map(decode).collect();
    let hashes: Result<Vec<_>> = index.hash_blocks().iter().map(decode).collect();
    let (Ok(blocks), Ok(hashes)) = (blocks, hashes) else { return };
    let hashes: usize = hashes.iter().map(|raw| page_hashes(raw).len()).sum();
    assert_eq!(hashes as u64, index.page_count());
    let size = index.header().page_size.bytes();
    let mut check = index.content_check();
    let mut proved = true;
    let mut pages = 0;
    for entry in 0..index.entries().len() {
        for page in index.pages(entry) {
            let image = &blocks[page.block][page.index * size..][..size];
            proved = proved && check.push(page_hash(page.number, image)).is_ok();
            pages += 1;
        }
    }
    assert_eq!(pages, index.page_count());
    if proved && check.finish().is_ok() {
        write_again(&index, &blocks);
    }
}

/// What a reader accepts, a writer must accept, and lead to the same end.
fn write_again(index: &Index, blocks: &[Vec<u8>]) {
    let size = index.header().page_size.bytes();
    let mut writer = match index.is_by_page() {
        true => Writer::by_page(*index.header()),
        false => Writer::new(*index.header()),
    };
    for (number, entry) in index.entries().iter().enumerate() {
        writer.begin_entry(entry.start()).expect("entries are ended");
        for page in index.pages(number) {
            let image = &blocks[page.block][page.index * size..][..size];
            writer.page(page.number, image).expect("the reader accepted it");
        }
        if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
            writer.vouch(entry.content).expect("the reader accepted it");
        }
        let again = writer.end_entry(entry.digest).expect("the reader accepted it");
        assert_eq!(&again, entry);
    }
    let chain = index.footer().chain;
    let finished = match index.header().chain() {
        Some(_) => writer.finish(),
        None => writer.finish_at(chain),
    };
    let footer = finished.expect("it has entries").footer;
    assert_eq!(
        (footer.chain, footer.digest, footer.last),
        (chain, index.footer().digest, index.footer().last)
    );
}

fn stored<'a>(object: &'a [u8], block: &Block) -> &'a [u8] {
    let at = |offset: u64| usize::try_from(offset).expect("blocks lie within the object");
    &object[at(block.offset)..at(block.end())]
}

/// Renews the CRC32 of the header, of each block and of the footer, and the root.
fn renew(object: &mut [u8]) -> Option<()> {
    let end = object.len().checked_sub(footer::SIZE)?;
    let offset = u64_at(object, end + footer::INDEX_OFFSET.offset)?;
    let start =
        usize::try_from(offset).ok().filter(|&start| start >= Header::SIZE && start < end)?;
    renew_blocks(object, start);
    renew_ends(object, start);
    Some(())
}

/// Renews the CRC32 of the header and of the footer, and the root of the index that begins at `start`.
fn renew_ends(object: &mut [u8], start: usize) {
    let end = object.len() - footer::SIZE;
    let crc = crc32fast::hash(&object[..header::CRC.offset]);
    object[header::CRC.offset..header::SIZE].copy_from_slice(&crc.to_le_bytes());
    let root = *blake3::Hasher::new()
        .update(&object[..header::SIZE])
        .update(&object[start..end])
        .finalize()
        .as_bytes();
    let tail = &mut object[end..];
    tail[footer::ROOT.offset..footer::CHAIN.offset].copy_from_slice(&root);
    let crc = crc32fast::hash(&tail[..footer::CRC.offset]);
    tail[footer::CRC.offset..].copy_from_slice(&crc.to_le_bytes());
}

/// Renews the CRC32 in the row of each block that lies before the index.
fn renew_blocks(object: &mut [u8], start: usize) -> Option<()> {
    let entries = u32_at(object, start + counts::ENTRIES.offset)? as usize;
    let blocks = u32_at(object, start + counts::BLOCKS.offset)?;
    let mut row = start + counts::SIZE + entries.checked_mul(entry_row::SIZE)?;
    let mut begin = Header::SIZE;
    for _ in 0..blocks {
        let length = u32_at(object, row + block_row::STORED.offset)? as usize;
        let end = begin.checked_add(length).filter(|&end| end <= start)?;
        let crc = crc32fast::hash(&object[begin..end]);
        let field = row + block_row::CRC.offset;
        object.get_mut(field..field + 4)?.copy_from_slice(&crc.to_le_bytes());
        begin = end;
        row += block_row::SIZE;
    }
    Some(())
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|&field| u32::from_le_bytes(field))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|&field| u64::from_le_bytes(field))
}
