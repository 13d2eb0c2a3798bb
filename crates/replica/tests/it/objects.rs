//! Small histories, the objects that hold them, and a reader that believes nothing.

use std::collections::BTreeMap;

use ebbtide_replica::container::{
    Block, BlockScratch, Contents, EntryStart, Finished, Footer, Header, Index, Parsed, Sealing,
    Writer, page_hashes,
};
use ebbtide_replica::{
    Chain, Digest, EntryFlags, EntryKind, PageHash, ReplicaId, Result, Timestamp, Txid, data_pages,
    page_hash,
};
use ebbtide_seal::{Keys, SecretKey};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

/// The pages that an entry carries, or that a database has.
pub(crate) type Pages = BTreeMap<u32, Vec<u8>>;

/// One entry as it goes into a writer.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) start: EntryStart,
    pub(crate) pages: Pages,
    pub(crate) digest: Digest,
    /// The content of the snapshot in which its pages lie.
    pub(crate) vouched: Option<[u8; 32]>,
}

/// What a commit does to the database, before it is one.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) claim: bool,
    pub(crate) database_pages: u32,
    pub(crate) touched: Vec<u32>,
    /// Pages made of one byte compress well; others do not compress at all.
    pub(crate) seed: u64,
    pub(crate) plain: bool,
    pub(crate) detail: usize,
    pub(crate) later: i64,
}

pub(crate) const REPLICA: ReplicaId = ReplicaId::from_bytes(*b"a replica's name");

pub(crate) fn size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

pub(crate) fn number(page: u32) -> PageNumber {
    PageNumber::new(page).unwrap()
}

pub(crate) fn txid(number: u64) -> Txid {
    Txid::new(number).unwrap()
}

pub(crate) fn digest_of(pages: &Pages) -> Digest {
    pages.iter().map(|(&page, image)| page_hash(number(page), image)).collect()
}

/// The page image that `seed` stands for.
pub(crate) fn image(page_size: PageSize, seed: u64, plain: bool) -> Vec<u8> {
    if plain {
        return vec![seed.to_le_bytes()[0]; page_size.bytes()];
    }
    let words = (0..page_size.get() / 32).flat_map(|index| {
        *blake3::hash(&[&seed.to_le_bytes()[..], &index.to_le_bytes()].concat()).as_bytes()
    });
    words.collect()
}

/// Plays `changes` on an empty database, the first of them as entry 1.
pub(crate) fn play(page_size: PageSize, changes: &[Change]) -> Vec<Step> {
    let mut database = Pages::new();
    let mut database_pages = 0;
    let mut time = 1_795_253_400_000_000;
    let mut steps = Vec::new();
    for (change, txid) in changes.iter().zip(1..) {
        let mut pages = Pages::new();
        if !change.claim {
            let grown = database_pages + 1..=change.database_pages;
            let touched = change.touched.iter().map(|page| page % (change.database_pages + 1));
            for page in grown.chain(touched) {
                if page != 0 && page != lock_page(page_size).get() {
                    let seed = change.seed.wrapping_mul(31).wrapping_add(page.into());
                    pages.insert(page, image(page_size, seed, change.plain));
                }
            }
            database_pages = change.database_pages;
            database.extend(pages.clone());
            database.retain(|&page, _| page <= database_pages);
        }
        let complete = !change.claim && pages.len() == database.len();
        let flags = if complete { EntryFlags::COMPLETE } else { EntryFlags::NONE };
        let kind = if change.claim { EntryKind::Claim } else { EntryKind::Commit };
        time += change.later;
        let start = EntryStart {
            txid: self::txid(txid),
            kind,
            flags,
            time: Timestamp::from_micros(time).unwrap(),
            database_pages,
            detail: vec![b'x'; change.detail],
        };
        steps.push(Step { start, pages, digest: digest_of(&database), vouched: None });
    }
    steps
}

/// A history with a claim, growth, a change in the middle, and a smaller database at the end.
pub(crate) fn sample_steps(page_size: PageSize) -> Vec<Step> {
    let change = |database_pages, touched: &[u32], plain| Change {
        claim: database_pages == 0,
        database_pages,
        touched: touched.to_vec(),
        seed: u64::from(database_pages),
        plain,
        detail: if database_pages == 0 { 20 } else { 0 },
        later: 1000,
    };
    let changes = [
        change(0, &[], false),
        change(4, &[], true),
        change(4, &[2, 4], false),
        change(7, &[1, 2], true),
        change(2, &[1], false),
    ];
    play(page_size, &changes)
}

pub(crate) fn segment(page_size: PageSize) -> Header {
    let contents = Contents::Segment { first: Txid::FIRST, chain: Chain::genesis(REPLICA) };
    Header { replica: REPLICA, page_size, contents }
}

pub(crate) fn pack(page_size: PageSize) -> Header {
    let contents = Contents::Pack { first: Txid::FIRST, chain: Chain::genesis(REPLICA) };
    Header { contents, ..segment(page_size) }
}

/// The state after `steps` as the one step of a snapshot or delta: the newest image of each page they carry.
pub(crate) fn merge(page_size: PageSize, steps: &[Step]) -> Step {
    let mut merged = Pages::new();
    for step in steps {
        merged.extend(step.pages.clone());
        merged.retain(|&page, _| page <= step.start.database_pages);
    }
    let last = steps.last().unwrap();
    let complete =
        merged.len() as u64 == u64::from(data_pages(last.start.database_pages, page_size));
    let flags = if complete { EntryFlags::COMPLETE } else { EntryFlags::NONE };
    let start = EntryStart { kind: EntryKind::Image, flags, detail: vec![], ..last.start.clone() };
    Step { start, pages: merged, digest: last.digest, vouched: None }
}

/// Writes `steps`, taking pieces of what is encoded whenever there are `take_at` bytes of it.
pub(crate) fn write(
    header: Header,
    chain: Option<Chain>,
    steps: &[Step],
    take_at: usize,
) -> Result<(Vec<u8>, Footer)> {
    write_with(Writer::new(header), chain, steps, take_at)
}

/// Writes `steps` as a pack whose images lie in the order of the pages.
pub(crate) fn write_by_page(page_size: PageSize, steps: &[Step]) -> Result<(Vec<u8>, Footer)> {
    write_with(Writer::by_page(pack(page_size)), None, steps, usize::MAX)
}

pub(crate) fn write_with(
    mut writer: Writer,
    chain: Option<Chain>,
    steps: &[Step],
    take_at: usize,
) -> Result<(Vec<u8>, Footer)> {
    let mut object = Vec::new();
    for step in steps {
        writer.begin_entry(step.start.clone())?;
        if let Some(content) = step.vouched {
            writer.vouch(content)?;
        }
        for (&page, image) in &step.pages {
            writer.page(number(page), image)?;
            while writer.buffered() >= take_at {
                object.extend(writer.take(take_at.max(1000), Vec::new()));
            }
        }
        writer.end_entry(step.digest)?;
    }
    let most = writer.object_size_max();
    let Finished { tail, footer, object_size } = match chain {
        Some(chain) => writer.finish_at(chain)?,
        None => writer.finish()?,
    };
    object.extend(tail);
    assert_eq!(object.len() as u64, object_size);
    assert!(object_size <= most, "{object_size} bytes of at most {most}");
    Ok((object, footer))
}

/// Objects of all four kinds about the same history, packs in both orders, with their names.
pub(crate) fn samples(page_size: PageSize) -> [(&'static str, Vec<u8>); 5] {
    samples_with(page_size, None)
}

/// The same, encrypted.
pub(crate) fn sealed_samples(page_size: PageSize) -> [(&'static str, Vec<u8>); 5] {
    samples_with(page_size, Some(&sealing()))
}

/// The keys of the examples: the page key counts from 00 to 1f, the index key from 20 to 3f.
pub(crate) fn sealing() -> Sealing {
    let count = |from: u8| {
        SecretKey::from_bytes(std::array::from_fn(|at| from + u8::try_from(at).unwrap()))
    };
    Sealing { pages: Some(count(0)), index: count(0x20) }
}

/// Both of them.
pub(crate) fn keys() -> Keys {
    let Sealing { pages, index } = sealing();
    pages.into_iter().chain([index]).collect()
}

fn samples_with(page_size: PageSize, sealing: Option<&Sealing>) -> [(&'static str, Vec<u8>); 5] {
    let steps = sample_steps(page_size);
    let last = steps.last().unwrap().start.txid;
    let begin = |header: Header| {
        Writer::begin(header, sealing.map(|sealing| sealing.object(&header, last).unwrap()))
    };
    let written = write_with(begin(segment(page_size)), None, &steps, usize::MAX);
    let (log, footer) = written.unwrap();
    let chain = footer.chain;
    let by_page = begin(pack(page_size)).in_page_order();
    let (by_page, _) = write_with(by_page, None, &steps, usize::MAX).unwrap();
    let (pack, _) = write_with(begin(pack(page_size)), None, &steps, 1).unwrap();
    let delta = Contents::Delta { first: txid(3) };
    let delta = Header { contents: delta, ..segment(page_size) };
    let merged = [merge(page_size, &steps[2..])];
    let (delta, _) = write_with(begin(delta), Some(chain), &merged, usize::MAX).unwrap();
    let snapshot = Contents::Snapshot { txid: footer.last };
    let snapshot = Header { contents: snapshot, ..segment(page_size) };
    let merged = [merge(page_size, &steps)];
    let (snapshot, _) = write_with(begin(snapshot), Some(chain), &merged, usize::MAX).unwrap();
    [
        ("segment", log),
        ("pack", pack),
        ("pack by page", by_page),
        ("delta", delta),
        ("snapshot", snapshot),
    ]
}

/// The index of a whole object.
pub(crate) fn parse(object: &[u8]) -> Result<Index> {
    open(object, &Keys::NONE)
}

/// The same of one that may be encrypted.
pub(crate) fn open(object: &[u8], keys: &Keys) -> Result<Index> {
    match Index::open(object.len() as u64, object, object, keys)? {
        Parsed::Ready(index) => Ok(index),
        Parsed::NeedTail(bytes) => panic!("the whole object is at hand, and {bytes} are missing"),
    }
}

/// The bytes of a block.
pub(crate) fn stored<'a>(object: &'a [u8], block: &Block) -> &'a [u8] {
    let at = |offset: u64| usize::try_from(offset).unwrap();
    &object[at(block.offset)..at(block.end())]
}

/// Reads all of an object and checks all that can be: the pages of each entry.
pub(crate) fn read(object: &[u8]) -> Result<(Index, Vec<Pages>)> {
    read_with(object, &Keys::NONE)
}

/// The same of one that may be encrypted.
pub(crate) fn read_with(object: &[u8], keys: &Keys) -> Result<(Index, Vec<Pages>)> {
    let index = open(object, keys)?;
    let page_size = index.header().page_size;
    let mut scratch = BlockScratch::default();
    let mut check = index.content_check();
    for block in index.hash_blocks() {
        let raw = block.decode_into(index.opener(), stored(object, block), &mut scratch)?;
        page_hashes(raw).try_for_each(|hash| check.push(hash))?;
    }
    check.finish()?;
    let decode = |block: &ebbtide_replica::container::Block| {
        block.decode(index.opener(), stored(object, block))
    };
    let blocks = index.page_blocks().iter().map(decode).collect::<Result<Vec<_>>>()?;
    let mut check = index.content_check();
    let mut entries = Vec::new();
    for entry in 0..index.entries().len() {
        let mut pages = Pages::new();
        for page in index.pages(entry) {
            let image = &blocks[page.block][page.index * page_size.bytes()..][..page_size.bytes()];
            let hash: PageHash = page_hash(page.number, image);
            check.push(hash)?;
            pages.insert(page.number.get(), image.to_vec());
        }
        entries.push(pages);
    }
    check.finish()?;
    Ok((index, entries))
}
