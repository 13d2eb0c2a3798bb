//! An object taken apart, of which each part can be changed before it is put together again.

use ebbtide_replica::container::layout::{Field, block_row, counts, entry_row, run_row};
use ebbtide_replica::container::{Contents, Footer, Header, Index, PageRef, Parsed, page_hashes};
use ebbtide_replica::{Chain, Entry, PageHash, Result, Run, content_of, page_hash};
use ebbtide_wal::PageNumber;

/// So many raw bytes are put into a block.
const BLOCK_BYTES: usize = 128 * 1024;

/// An object. Nothing in it needs to fit together.
#[derive(Debug, Clone)]
pub struct Forged {
    /// What the first bytes say.
    pub header: Header,
    /// The entries, with their runs and details. How many pages each carries is what it states.
    pub entries: Vec<Entry>,
    /// The images of all pages, in order.
    pub images: Vec<Vec<u8>>,
    /// The hashes that the object lists of them.
    pub hashes: Vec<PageHash>,
    /// Whether the images lie in the order of the pages, if there are as many as the runs have.
    pub by_page: bool,
    /// The chain that the footer states; nothing: the one that the entries lead to.
    pub chain: Option<Chain>,
}

impl Forged {
    /// Takes a sound object apart.
    ///
    /// # Errors
    /// When it is none.
    pub fn take_apart(object: &[u8]) -> Result<Forged> {
        let index = match Index::parse(object.len() as u64, object, object)? {
            Parsed::Ready(index) => index,
            Parsed::NeedTail(_) => unreachable!("the whole object is at hand"),
        };
        let stored = |block: &ebbtide_replica::container::Block| {
            let at = |at: u64| usize::try_from(at).expect("it is in the object");
            block.decode(index.opener(), &object[at(block.offset)..at(block.end())])
        };
        let size = index.header().page_size.bytes();
        let blocks = index.page_blocks().iter().map(stored).collect::<Result<Vec<_>>>()?;
        let pages = (0..index.entries().len()).flat_map(|entry| index.pages(entry));
        let image = |page: PageRef| blocks[page.block][page.index * size..][..size].to_vec();
        let images = pages.map(image).collect();
        let listed = index.hash_blocks().iter().map(stored).collect::<Result<Vec<_>>>()?.concat();
        Ok(Forged {
            header: *index.header(),
            entries: index.entries().to_vec(),
            images,
            hashes: page_hashes(&listed).collect(),
            by_page: index.is_by_page(),
            chain: index.header().chain().is_none().then_some(index.footer().chain),
        })
    }

    /// The numbers of all pages, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<PageNumber> {
        self.entries.iter().flat_map(|entry| &entry.runs).flat_map(|run| run.pages()).collect()
    }

    /// Lists the hashes that the images have.
    pub fn list_hashes(&mut self) {
        let pages = self.numbers().into_iter().zip(&self.images);
        self.hashes = pages.map(|(number, image)| page_hash(number, image)).collect();
    }

    /// States the content that the listed hashes have.
    pub fn state_contents(&mut self) {
        let mut hashes = self.hashes.iter().copied();
        for entry in self.entries.iter_mut().filter(|entry| entry.page_count > 0) {
            entry.content = content_of(hashes.by_ref().take(entry.page_count as usize));
        }
    }

    /// The chain after the last entry, as the entries give it.
    #[must_use]
    pub fn chain_after(&self) -> Chain {
        self.entries.iter().fold(self.chain_before(), |chain, entry| {
            let runs: Vec<u8> = entry.runs.iter().flat_map(|run| run_bytes(*run)).collect();
            chain.next(&entry_bytes(entry), &runs, &entry.detail)
        })
    }

    fn chain_before(&self) -> Chain {
        self.header.chain().unwrap_or(Chain::from_bytes([0; 32]))
    }

    /// Makes it follow a history that ends with this chain.
    pub fn follow(&mut self, before: Chain) {
        match &mut self.header.contents {
            Contents::Segment { chain, .. } | Contents::Pack { chain, .. } => *chain = before,
            Contents::Delta { .. }
            | Contents::Snapshot { .. }
            | Contents::Horizon { .. }
            | Contents::Mark { .. } => self.chain = Some(before),
        }
    }

    /// In which order the images lie, if not in that of the entries.
    fn order(&self) -> Option<Vec<usize>> {
        let runs = self.entries.iter().flat_map(|entry| &entry.runs);
        let pages: u64 = runs.map(|run| u64::from(run.count())).sum();
        if !self.by_page || pages != self.images.len() as u64 {
            return None;
        }
        let numbers = self.numbers();
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by_key(|&at| numbers[at]);
        Some(order)
    }

    /// The bytes of the object, with every checksum as it has to be.
    ///
    /// # Panics
    /// Without an entry: not even a forger can write a footer then.
    #[must_use]
    pub fn put_together(&self) -> Vec<u8> {
        let mut object = self.header.encode().to_vec();
        let mut blocks = Vec::new();
        let mut add = |kind: u8, bytes: &[u8]| {
            if !bytes.is_empty() {
                blocks.extend(block_bytes(kind, bytes));
                object.extend_from_slice(bytes);
            }
        };
        let size = self.header.page_size.bytes();
        let images: Vec<&[u8]> = match self.order() {
            Some(order) => order.into_iter().map(|at| &self.images[at][..]).collect(),
            None => self.images.iter().map(|image| &image[..]).collect(),
        };
        let kind = if self.by_page { 3 } else { 1 };
        images.chunks((BLOCK_BYTES / size).max(1)).for_each(|images| add(kind, &images.concat()));
        let hashes: Vec<u8> = self.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        hashes.chunks(1024 * 1024).for_each(|hashes| add(2, hashes));
        let runs = || self.entries.iter().flat_map(|entry| &entry.runs);
        let details: Vec<u8> =
            self.entries.iter().flat_map(|entry| entry.detail.iter().copied()).collect();
        let mut index = vec![0; counts::SIZE];
        let count = |count: usize| u32::try_from(count).expect("few rows").to_le_bytes();
        put(counts::ENTRIES, &mut index, &count(self.entries.len()));
        put(counts::BLOCKS, &mut index, &count(blocks.len() / block_row::SIZE));
        put(counts::RUNS, &mut index, &count(runs().count()));
        put(counts::DETAILS, &mut index, &count(details.len()));
        self.entries.iter().for_each(|entry| index.extend(entry_bytes(entry)));
        index.extend(blocks);
        runs().for_each(|run| index.extend(run_bytes(*run)));
        index.extend(details);
        let last = self.entries.last().expect("an entry");
        let mut root = blake3::Hasher::new();
        root.update(&self.header.encode()).update(&index);
        let footer = Footer {
            kind: self.header.kind(),
            entries: u32::try_from(self.entries.len()).expect("few rows"),
            index_offset: object.len() as u64,
            index_length: index.len() as u64,
            root: *root.finalize().as_bytes(),
            chain: self.chain.unwrap_or_else(|| self.chain_after()),
            last: last.txid,
            digest: last.digest,
        };
        object.extend(index);
        object.extend(footer.encode());
        object
    }
}

fn put(field: Field, bytes: &mut [u8], value: &[u8]) {
    bytes[field.offset..field.offset + field.size].copy_from_slice(value);
}

fn entry_bytes(entry: &Entry) -> [u8; entry_row::SIZE] {
    let mut row = [0; entry_row::SIZE];
    let detail = u32::try_from(entry.detail.len()).expect("a short detail");
    put(entry_row::TXID, &mut row, &entry.txid.get().to_le_bytes());
    put(entry_row::KIND, &mut row, &[entry.kind.code()]);
    put(entry_row::FLAGS, &mut row, &[entry.flags.bits()]);
    put(entry_row::DETAIL, &mut row, &detail.to_le_bytes());
    put(entry_row::TIME, &mut row, &entry.time.as_micros().to_le_bytes());
    put(entry_row::DATABASE_PAGES, &mut row, &entry.database_pages.to_le_bytes());
    put(entry_row::PAGE_COUNT, &mut row, &entry.page_count.to_le_bytes());
    put(entry_row::DIGEST, &mut row, entry.digest.as_bytes());
    put(entry_row::CONTENT, &mut row, &entry.content);
    row
}

fn run_bytes(run: Run) -> [u8; run_row::SIZE] {
    let mut row = [0; run_row::SIZE];
    put(run_row::FIRST, &mut row, &run.first().get().to_le_bytes());
    put(run_row::COUNT, &mut row, &run.count().to_le_bytes());
    row
}

/// The row of a block that is stored as it is.
fn block_bytes(kind: u8, bytes: &[u8]) -> [u8; block_row::SIZE] {
    let mut row = [0; block_row::SIZE];
    let length = u32::try_from(bytes.len()).expect("a block is short").to_le_bytes();
    put(block_row::KIND, &mut row, &[kind]);
    put(block_row::STORED, &mut row, &length);
    put(block_row::RAW, &mut row, &length);
    put(block_row::CRC, &mut row, &crc32fast::hash(bytes).to_le_bytes());
    row
}
