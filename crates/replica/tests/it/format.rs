//! `docs/format.md` against the code: a table that is wrong misleads whoever writes another reader by it.

use std::fmt::Write;

use ebbtide_replica::container::layout::{self, Field};
use ebbtide_replica::container::{
    Block, BlockKind, Codec, Contents, EntryStart, Header, Kind, Opener, Sealing, Writer, limits,
};
use ebbtide_replica::{
    Chain, Claim, DATABASE_PAGES_MAX, Digest, Entry, EntryFlags, EntryKind, HorizonContents, Key,
    KeyDocument, Manifest, MarkContents, ReplicaId, Timestamp, page_hash,
};
use ebbtide_seal::{KeyId, Salt, SecretKey};
use ring::{aead, hkdf};

use crate::objects::{number, open, sealing, size, txid};

const DOCUMENT: &str = include_str!("../../../../docs/format.md");

/// The cells of the rows of the first table after the line `heading`.
#[track_caller]
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let mut lines = DOCUMENT.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "no heading {heading:?}");
    let rows =
        lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.skip(2).map(cells).collect()
}

/// The text between the fences that begin with `fence`.
fn example(fence: &str) -> String {
    let lines = DOCUMENT.lines().skip_while(|line| *line != fence).skip(1);
    lines.take_while(|line| *line != "```").fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

#[test]
fn every_structure_is_laid_out_as_its_table_says() {
    let structures: [(&str, &[Field], usize); 7] = [
        ("Header", layout::header::FIELDS, layout::header::SIZE),
        ("Footer", layout::footer::FIELDS, layout::footer::SIZE),
        ("Index counts", layout::counts::FIELDS, layout::counts::SIZE),
        ("Entry row", layout::entry_row::FIELDS, layout::entry_row::SIZE),
        ("Run row", layout::run_row::FIELDS, layout::run_row::SIZE),
        ("Block row", layout::block_row::FIELDS, layout::block_row::SIZE),
        ("Before an encrypted index", layout::sealed_index::FIELDS, layout::sealed_index::SIZE),
    ];
    for (name, fields, size) in structures {
        let rows = table(&format!("### {name}, {size} bytes"));
        let mut end = 0;
        for (row, field) in rows.iter().zip(fields) {
            let (offset, bytes): (usize, usize) =
                (row[0].parse().unwrap(), row[1].parse().unwrap());
            assert_eq!((offset, bytes, row[2]), (field.offset, field.size, field.name), "{name}");
            assert_eq!(offset, end, "{name}: {} does not follow what is before it", row[2]);
            end += bytes;
        }
        assert_eq!(rows.len(), fields.len(), "{name}");
        assert_eq!(end, size, "{name}: its rows do not add up");
    }
}

/// The first two columns of a table of codes.
#[track_caller]
fn codes(heading: &str) -> Vec<(u8, &'static str)> {
    table(heading).into_iter().map(|row| (row[0].parse().unwrap(), row[1])).collect()
}

#[test]
fn codes_are_those_of_the_tables() {
    let kinds = [
        (Kind::Segment.code(), "segment"),
        (Kind::Pack.code(), "pack"),
        (Kind::Delta.code(), "delta"),
        (Kind::Snapshot.code(), "snapshot"),
        (Kind::Horizon.code(), "horizon"),
        (Kind::Mark.code(), "mark"),
    ];
    assert_eq!(codes("### Kinds of objects"), kinds);
    let kinds = [EntryKind::Commit, EntryKind::Resync, EntryKind::Claim, EntryKind::Image];
    assert_eq!(codes("### Kinds of entries"), kinds.map(|kind| (kind.code(), kind.name())));
    let flags = [
        (EntryFlags::COMPLETE.bits(), "complete"),
        (EntryFlags::IN_SNAPSHOT.bits(), "in snapshot"),
        (EntryFlags::FORK.bits(), "fork"),
    ];
    assert_eq!(codes("### Flags of entries"), flags);
    let codecs = [Codec::Stored, Codec::Lz4, Codec::Records].map(Codec::code);
    assert_eq!(codecs, [0, 1, 2]);
    assert!(DOCUMENT.contains(
        "| 0: stored as it is; 1: one LZ4 block, without a frame or a length; 2: *records* |"
    ));
    assert!(DOCUMENT.contains(
        "| 1: page images; 2: page hashes; 3: page images by page; 4: a piece of a document |"
    ));
}

#[test]
fn records_are_decoded_as_the_example_says() {
    let first: Vec<u8> = (0..=255).chain(0..=255).collect();
    let second = [&[1], &first[1..502], &[2, 3], &first[108..116]].concat();
    let rows = table(
        "These are the records of two images of 512 bytes: the first counts from 00 to ff twice; the second begins with 1, \
         has 2 and 3 at offset 502, and after them the 8 bytes that were at offset 108.",
    );
    let hex = |row: &str| -> Vec<u8> {
        if row == "`00 01 02` … `fd fe ff`" {
            return first.clone();
        }
        row.trim_matches('`').split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    };
    let records: Vec<u8> = rows.iter().flat_map(|row| hex(row[0])).collect();
    let length = u32::try_from(records.len()).unwrap();
    let stored = [&length.to_le_bytes()[..], &lz4_flex::block::compress(&records)].concat();
    let block = Block {
        kind: BlockKind::ByPage,
        offset: 128,
        first: 0,
        stored_len: u32::try_from(stored.len()).unwrap(),
        raw_len: 1024,
        count: 2,
        crc: crc32fast::hash(&stored),
        codec: Codec::Records,
    };
    assert_eq!(block.decode(&Opener::PLAIN, &stored).unwrap(), [first, second].concat());
}

#[test]
fn names_are_those_of_the_table() {
    let names: Vec<&str> =
        table("## Names").into_iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(names.len(), 8);
    for name in names {
        assert_eq!(Key::parse(name).map(|key| key.to_string()).as_deref(), Some(name));
    }
    for row in table("### Kinds of objects") {
        let directory = row[2].trim_matches('`');
        assert!(
            table("## Names").iter().any(|name| name[0].starts_with(&format!("`{directory}/")))
        );
    }
}

#[test]
fn examples_are_read_and_written_as_they_stand() {
    let manifest = Manifest::from_json(example("```json manifest").as_bytes()).unwrap();
    assert_eq!(manifest.to_json(), example("```json manifest").as_bytes());
    let claim = Claim::from_detail(example("```json claim").as_bytes()).unwrap();
    assert_eq!(Claim::from_detail(&claim.to_detail().unwrap()).unwrap(), claim);
    let horizon: HorizonContents = serde_json::from_str(&example("```json horizon")).unwrap();
    let again = serde_json::to_string(&horizon).unwrap();
    assert_eq!(without_space(&again), without_space(&example("```json horizon")));
    let mark: MarkContents = serde_json::from_str(&example("```json mark")).unwrap();
    let again = serde_json::to_string(&mark).unwrap();
    assert_eq!(without_space(&again), without_space(&example("```json mark")));
    assert_eq!(table("### The document of a horizon").len(), 9);
    assert_eq!(table("### The document of a mark").len(), 4);
    assert_eq!(table("## The manifest").len(), 6);
    assert_eq!(table("### Secret keys").len(), 5);
    assert_eq!(table("### The detail of a claim").len(), 7);
}

fn without_space(json: &str) -> String {
    json.chars().filter(|char| !char.is_whitespace()).collect()
}

#[test]
fn limits_are_those_of_the_table() {
    let limits = [
        ("bytes of a manifest", Manifest::SIZE_MAX as u64),
        ("bytes of a detail", Entry::DETAIL_MAX as u64),
        ("bytes of the details of an object", limits::DETAILS_SIZE_MAX.into()),
        ("raw bytes of a block", limits::BLOCK_RAW_MAX as u64),
        ("bytes of a document", limits::DOCUMENT_SIZE_MAX as u64),
        ("bytes of the document of a mark", MarkContents::SIZE_MAX as u64),
        ("bytes of a wrapped key", KeyDocument::WRAPPED_MAX as u64),
        ("bytes of its plain text", KeyDocument::SIZE_MAX as u64),
        ("entries of an object", limits::ENTRIES_MAX.into()),
        ("images by page of an object", limits::BY_PAGE_IMAGES_MAX.into()),
        ("bytes of an index", limits::INDEX_SIZE_MAX),
        ("pages of a database", DATABASE_PAGES_MAX.into()),
    ];
    let rows = table("## Limits");
    let stated: Vec<(&str, u64)> =
        rows.iter().map(|row| (row[0], row[1].parse().unwrap())).collect();
    assert_eq!(stated, limits);
    assert_eq!((limits::BLOCK_RAW_TARGET, limits::BLOCK_HASHES_MAX), (131_072, 65_536));
}

#[test]
fn hashes_are_those_of_the_test_vectors() {
    let replica = ReplicaId::from_bytes(std::array::from_fn(|index| u8::try_from(index).unwrap()));
    let pages = [1, 2].map(|page| page_hash(number(page), &[0; 512]));
    let digest: Digest = pages.into_iter().collect();
    let vectors = [
        pages[0].to_string(),
        pages[1].to_string(),
        digest.to_string(),
        Chain::genesis(replica).to_string(),
    ];
    let rows = table("### Test vectors");
    let stated: Vec<&str> = rows.iter().map(|row| row[1].trim_matches('`')).collect();
    assert_eq!(stated, vectors);
}

/// The test vectors of encryption, each by the crates that do the work below ours.
#[test]
fn encryption_is_that_of_the_test_vectors() {
    let replica = ReplicaId::from_bytes(std::array::from_fn(|index| u8::try_from(index).unwrap()));
    let contents = Contents::Segment { first: txid(1), chain: Chain::genesis(replica) };
    let header = Header { replica, page_size: size(512), contents };
    let salt: [u8; 24] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
    let sealer = || sealing().with_salt(&header, txid(1), Salt::from_bytes(salt));
    let mut writer = Writer::sealed(header, sealer());
    let time: Timestamp = "2026-11-21T09:30:00Z".parse().unwrap();
    let start = EntryStart {
        txid: txid(1),
        kind: EntryKind::Claim,
        flags: EntryFlags::NONE,
        time,
        database_pages: 0,
        detail: b"{}".to_vec(),
    };
    writer.begin_entry(start).unwrap();
    writer.end_entry(Digest::EMPTY).unwrap();
    let claim = writer.finish().unwrap().tail;
    let head = &claim[..124];
    let index = &claim[128..claim.len() - 128];
    let derive = |secret: &SecretKey, key_use: &str| {
        let info = [b"ebbtide 1 ", key_use.as_bytes(), &[0], head, b"log/0000000000000001.seg"];
        let mut key = [0; 32];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(secret.as_bytes());
        extracted.expand(&info, hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
        key
    };
    let Sealing { pages, index: index_key } = sealing();
    let page_key = pages.unwrap();
    let keys = [derive(&page_key, "pages"), derive(&index_key, "index")];
    let seal = |key: &[u8; 32], row: [u8; 12], plain: &[u8]| {
        let mut nonce = [0; 12];
        nonce[4] = 128;
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).unwrap();
        let mut sealed = plain.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let key = aead::LessSafeKey::new(key);
        key.seal_in_place_append_tag(nonce, aead::Aad::from(row), &mut sealed).unwrap();
        sealed
    };
    let images = seal(&keys[0], [1, 0, 0, 0, 0x10, 2, 0, 0, 0, 2, 0, 0], &[0; 512]);
    let hash = page_hash(number(1), &[0; 512]);
    let hashes = seal(&keys[1], [2, 0, 0, 0, 32, 0, 0, 0, 16, 0, 0, 0], hash.as_bytes());
    // Ours opens what was sealed by hand.
    let opener = open(&claim, &crate::objects::keys()).unwrap().opener().clone();
    for (kind, stored, raw) in
        [(BlockKind::Pages, &images, &[0; 512][..]), (BlockKind::Hashes, &hashes, hash.as_bytes())]
    {
        let (stored_len, raw_len) = (stored.len(), raw.len());
        let [stored_len, raw_len] = [stored_len, raw_len].map(|len| u32::try_from(len).unwrap());
        let (codec, crc) = (Codec::Stored, crc32fast::hash(stored));
        let block =
            Block { kind, offset: 128, first: 0, stored_len, raw_len, count: 1, crc, codec };
        assert_eq!(block.decode(&opener, stored).unwrap(), raw);
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let vectors = [
        KeyId::of(&page_key).to_string(),
        KeyId::of(&index_key).to_string(),
        blake3::hash(head).to_string(),
        hex(&keys[0]),
        hex(&keys[1]),
        hex(&images[512..]),
        hex(&hashes),
        blake3::hash(index).to_string(),
    ];
    let rows = table("### Test vectors of encryption");
    let stated: Vec<&str> = rows.iter().map(|row| row[1].trim_matches('`')).collect();
    assert_eq!(stated, vectors);
    let document = KeyDocument::from_json(example("```json key").as_bytes()).unwrap();
    assert_eq!(document.key.as_bytes(), page_key.as_bytes());
    let text = String::from_utf8(document.to_json().to_vec()).unwrap();
    assert_eq!(without_space(&text), without_space(&example("```json key")));
}
