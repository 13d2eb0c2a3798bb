//! Writes replicas by hand and remembers every state.

use bytes::Bytes;
use ebbtide_replica::container::{Contents, EntryStart, Header, Sealing, Writer};
use ebbtide_replica::{
    Chain, Claim, Digest, EntryFlags, EntryKind, Key, KeyPrefix, Manifest, Mark, MarkContents,
    PageHash, ReplicaId, Timestamp, Txid, Vouch, content_of, page_hash,
};
use ebbtide_store::{MemoryStore, Store};
use ebbtide_wal::{PageNumber, PageSize};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::keys::{BuilderKeys, owner};

/// A second in µs.
pub const SECOND: i64 = 1_000_000;

/// A page key is for the segments up to the next one whose first entry is a multiple of this.
const CUTS_OF_A_KEY: u64 = 4;

const STORED: &str = "memory takes and gives what is asked";
const WRITABLE: &str = "what the test writes keeps to the format";

/// When the first entry of each replica is made.
pub const START: i64 = 1_795_253_400 * SECOND;

/// A state that the database was in.
#[derive(Debug, Clone)]
pub struct State {
    /// Its entry.
    pub txid: Txid,
    /// The entry's time.
    pub time: Timestamp,
    /// The entry's kind.
    pub kind: EntryKind,
    /// The entry's detail.
    pub detail: Vec<u8>,
    /// The images of its pages. Page 1 is the first.
    pub pages: Vec<Vec<u8>>,
    /// The chain after the entry.
    pub chain: Chain,
    /// The digest after the entry.
    pub digest: Digest,
    /// How the entry carries its pages.
    pub carry: Carry,
}

impl State {
    /// The database as a file.
    pub fn image(&self) -> Vec<u8> {
        self.pages.concat()
    }

    /// The database as SQLite has it, and the directory in which its file lies.
    ///
    /// # Panics
    /// If there is no place for the file, or SQLite does not take it.
    pub fn connect(&self) -> (TempDir, Connection) {
        let directory = tempfile::tempdir().expect("there is a place for temporary files");
        let path = directory.path().join("state.db");
        let mut image = self.image();
        // Without a log beside it SQLite would make one.
        image[18..20].copy_from_slice(&[1, 1]);
        std::fs::write(&path, image).expect("the file can be written");
        let connection = Connection::open(&path).expect("SQLite opens what it has made");
        (directory, connection)
    }
}

/// A replica in the making.
#[derive(Debug)]
pub struct Builder {
    /// Where it lies.
    pub store: MemoryStore,
    /// What it is.
    pub manifest: Manifest,
    /// After each entry, from txid 1 on.
    pub states: Vec<State>,
    /// The time of the next entry.
    pub micros: i64,
    stands_still: bool,
    /// What it encrypts with.
    keys: Option<BuilderKeys>,
    segment: Option<Segment>,
    /// The newest snapshot and the deltas after it…
    path: Vec<Vouch>,
    /// …of which the last is vouched for by no entry yet.
    is_unvouched: bool,
}

struct Segment {
    first: Txid,
    writer: Writer,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({})", self.first)
    }
}

/// Entry `number`.
#[must_use]
pub fn txid(number: u64) -> Txid {
    Txid::new(number).expect(WRITABLE)
}

/// So many µs after the epoch.
#[must_use]
pub fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect(WRITABLE)
}

fn page(index: usize) -> PageNumber {
    PageNumber::new(u32::try_from(index).expect(WRITABLE) + 1).expect(WRITABLE)
}

fn hashes_of(pages: &[Vec<u8>]) -> Vec<PageHash> {
    pages.iter().enumerate().map(|(index, image)| page_hash(page(index), image)).collect()
}

/// Whether a replica is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is not.
    Plain,
    /// It is, and its store has the keyring of its owner. It has several page keys.
    Encrypted,
}

impl Form {
    /// Both.
    pub const ALL: [Form; 2] = [Form::Plain, Form::Encrypted];
}

/// How an entry carries the pages that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Those that changed.
    Changes,
    /// All of them.
    All,
    /// None: they are in the snapshot of the entry.
    InSnapshot,
}

impl Carry {
    fn flags(self) -> EntryFlags {
        match self {
            Carry::Changes => EntryFlags::NONE,
            Carry::All => EntryFlags::COMPLETE,
            Carry::InSnapshot => EntryFlags::IN_SNAPSHOT,
        }
    }
}

impl Builder {
    /// A plain replica of which there is only the manifest.
    pub async fn new(page_size: u32) -> Builder {
        Builder::new_as(Form::Plain, page_size).await
    }

    /// A replica of which there is only the manifest, and the keys.
    pub async fn new_as(form: Form, page_size: u32) -> Builder {
        let keys = (form == Form::Encrypted).then(BuilderKeys::default);
        let manifest = Manifest {
            replica: ReplicaId::from_bytes([0x5a; 16]),
            page_size: PageSize::new(page_size).expect(WRITABLE),
            created: micros(START),
            created_by: "a test".to_owned(),
            encryption: keys.as_ref().map(BuilderKeys::encryption),
        };
        let mut store = MemoryStore::default();
        store.put(&Key::Manifest, manifest.to_json().into()).await.expect(STORED);
        if let Some(keys) = &keys {
            keys.put(&store, manifest.replica).await;
            store = store.with_keyring(owner());
        }
        Builder {
            store,
            manifest,
            states: Vec::new(),
            micros: START,
            stands_still: false,
            keys,
            segment: None,
            path: Vec::new(),
            is_unvouched: false,
        }
    }

    /// A plain replica as `replicate` begins it: a claim, a snapshot, a resync that points to it.
    pub async fn started(page_size: u32, pages: usize) -> Builder {
        Builder::started_as(Form::Plain, page_size, pages).await
    }

    /// The same of either form.
    pub async fn started_as(form: Form, page_size: u32, pages: usize) -> Builder {
        let mut builder = Builder::new_as(form, page_size).await;
        builder.claim();
        builder.cut().await;
        let pages = (0..pages).map(|index| builder.page_of(index as u64)).collect();
        builder.enter(EntryKind::Resync, pages, Carry::InSnapshot, b"");
        builder.snapshot().await;
        builder.cut().await;
        builder
    }

    /// An image that `seed` tells from others.
    #[must_use]
    pub fn page_of(&self, seed: u64) -> Vec<u8> {
        let mut image = vec![0; self.manifest.page_size.bytes()];
        let noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        // Half of a page compresses.
        let (noisy, _) = image.split_at_mut(self.manifest.page_size.bytes() / 2);
        for (index, chunk) in noisy.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&noise);
            chunk[index % 8] ^= u8::try_from(index % 251).expect(WRITABLE);
        }
        image
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next_txid(&self) -> Txid {
        txid(self.states.len() as u64 + 1)
    }

    /// The newest state.
    #[must_use]
    pub fn last(&self) -> &State {
        self.states.last().expect(WRITABLE)
    }

    fn pages(&self) -> Vec<Vec<u8>> {
        self.states.last().map_or_else(Vec::new, |state| state.pages.clone())
    }

    fn chain(&self) -> Chain {
        self.states
            .last()
            .map_or_else(|| Chain::genesis(self.manifest.replica), |state| state.chain)
    }

    fn digest_of(pages: &[Vec<u8>]) -> Digest {
        hashes_of(pages).into_iter().collect()
    }

    /// What documents are encrypted with, if the replica is.
    #[must_use]
    pub fn sealing(&self) -> Option<Sealing> {
        self.keys.as_ref().map(|keys| keys.sealing().without_pages())
    }

    /// Begins an object that ends with entry `last`.
    fn writer(&self, contents: Contents, last: Txid) -> Writer {
        let (replica, page_size) = (self.manifest.replica, self.manifest.page_size);
        let header = Header { replica, page_size, contents };
        let sealer = self.keys.as_ref().map(|keys| keys.sealing().object(&header, last));
        Writer::begin(header, sealer.transpose().expect("the operating system has randomness"))
    }

    /// Goes on with another page key, if the replica is encrypted.
    async fn turn_key(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.turn();
            keys.put(&self.store, self.manifest.replica).await;
        }
    }

    /// Adds an entry after which the database has these pages.
    pub fn enter(&mut self, kind: EntryKind, pages: Vec<Vec<u8>>, carry: Carry, detail: &[u8]) {
        let (before, entry, chain) = (self.pages(), self.next_txid(), self.chain());
        let segment = self.segment.take();
        let mut segment = segment.unwrap_or_else(|| Segment {
            first: entry,
            writer: self.writer(Contents::Segment { first: entry, chain }, entry),
        });
        let flags = carry.flags();
        let time = micros(self.micros);
        let database_pages = u32::try_from(pages.len()).expect(WRITABLE);
        let detail = detail.to_vec();
        let start =
            EntryStart { txid: entry, kind, flags, time, database_pages, detail: detail.clone() };
        segment.writer.begin_entry(start).expect(WRITABLE);
        if carry == Carry::InSnapshot {
            segment.writer.vouch(content_of(hashes_of(&pages))).expect(WRITABLE);
        }
        for (index, image) in pages.iter().enumerate() {
            let changed = before.get(index) != Some(image);
            if carry == Carry::All || (carry == Carry::Changes && changed) {
                segment.writer.page(page(index), image).expect(WRITABLE);
            }
        }
        let digest = Builder::digest_of(&pages);
        segment.writer.end_entry(digest).expect(WRITABLE);
        let chain = segment.writer.chain().expect(WRITABLE);
        self.segment = Some(segment);
        self.states.push(State { txid: entry, time, kind, detail, pages, chain, digest, carry });
    }

    /// Adds a commit that sets pages, counted from 0, and then the size of the database.
    pub fn commit(&mut self, changes: &[(usize, u64)], size: usize) {
        let mut pages = self.pages();
        let seed = |index: usize, seed: u64| (index as u64) << 40 | seed << 8 | 7;
        while pages.len() < size {
            pages.push(self.page_of(seed(pages.len(), self.states.len() as u64)));
        }
        pages.truncate(size);
        for &(index, value) in changes {
            if let Some(page) = pages.get_mut(index) {
                *page = self.page_of(seed(index, value));
            }
        }
        let detail = match std::mem::take(&mut self.is_unvouched) {
            true => Vouch::to_detail(&self.path, None).expect(WRITABLE),
            false => Vec::new(),
        };
        self.enter(EntryKind::Commit, pages, Carry::Changes, &detail);
    }

    /// Adds a claim.
    pub fn claim(&mut self) {
        let claim = Claim {
            host: "h".to_owned(),
            pid: 1,
            session: self.states.len().to_string(),
            version: "0".to_owned(),
            time: micros(self.micros),
            database: None,
            manifest: (self.next_txid() == Txid::FIRST)
                .then(|| String::from_utf8(self.manifest.to_json()).expect("JSON is text").into()),
        };
        // As `replicate` does once a snapshot is done.
        let detail = match std::mem::take(&mut self.is_unvouched) {
            true => Vouch::to_detail(&self.path, Some(&claim)).expect(WRITABLE),
            false => claim.to_detail().expect(WRITABLE),
        };
        let pages = self.pages();
        self.enter(EntryKind::Claim, pages, Carry::Changes, &detail);
    }

    /// Lets time pass, unless it stands still.
    pub fn wait(&mut self, micros: i64) {
        if !self.stands_still {
            self.micros += micros;
        }
    }

    /// The application's clock was ahead, and no entry is earlier than the one before it: its time stands still from now on.
    pub fn stand_still(&mut self) {
        self.stands_still = true;
    }

    /// Puts the entries since the last cut as a segment.
    pub async fn cut(&mut self) {
        if let Some(Segment { first, writer }) = self.segment.take() {
            let finished = writer.finish().expect(WRITABLE);
            self.store.put(&Key::Log(first), finished.tail.into()).await.expect(STORED);
            if first.get().is_multiple_of(CUTS_OF_A_KEY) {
                self.turn_key().await;
            }
        }
    }

    /// Puts a snapshot of the state after the last entry.
    pub async fn snapshot(&mut self) {
        let state = self.last().clone();
        let body = self.snapshot_of(&state);
        let content = content_of(hashes_of(&state.pages));
        self.path = vec![Vouch { object: Key::Snapshot(state.txid), content }];
        self.is_unvouched = true;
        // The same state may have been put before.
        if self.store.size(&Key::Snapshot(state.txid)).await.expect(STORED).is_none() {
            self.store.put(&Key::Snapshot(state.txid), body).await.expect(STORED);
        }
    }

    /// Puts a mark.
    pub async fn put_mark(&self, mark: &Mark) {
        let body = match self.sealing() {
            Some(sealing) => mark.seal(&sealing),
            None => mark.encode(),
        };
        self.store.put(&mark.key(), body.expect(WRITABLE).into()).await.expect(STORED);
    }

    /// A mark of the state after an entry, which is not put.
    #[must_use]
    pub fn mark_of(&self, number: u64, lasts: Option<&str>) -> Mark {
        let state = self.state(number);
        Mark {
            replica: self.manifest.replica,
            page_size: self.manifest.page_size,
            txid: state.txid,
            random: number,
            chain: state.chain,
            digest: state.digest,
            contents: MarkContents {
                name: format!("mark {number}"),
                txid: state.txid,
                time: state.time,
                lasts: lasts.map(str::to_owned),
            },
        }
    }

    /// A snapshot of `state`.
    #[must_use]
    pub fn snapshot_of(&self, state: &State) -> Bytes {
        let mut writer = self.writer(Contents::Snapshot { txid: state.txid }, state.txid);
        let start = EntryStart {
            txid: state.txid,
            kind: EntryKind::Image,
            flags: EntryFlags::COMPLETE,
            time: state.time,
            database_pages: u32::try_from(state.pages.len()).expect(WRITABLE),
            detail: Vec::new(),
        };
        writer.begin_entry(start).expect(WRITABLE);
        for (index, image) in state.pages.iter().enumerate() {
            writer.page(page(index), image).expect(WRITABLE);
        }
        writer.end_entry(state.digest).expect(WRITABLE);
        writer.finish_at(state.chain).expect(WRITABLE).tail.into()
    }

    /// Puts a delta of the entries from `first` to the last one, as `replicate` does: the next commit or claim vouches for
    /// the way to it.
    pub async fn delta(&mut self, first: u64) -> Key {
        let (key, body, content) = self.delta_of(first, self.last().txid.get());
        self.store.put(&key, body).await.expect(STORED);
        let keeps = |vouch: &Vouch| vouch.object.state() < Some(txid(first));
        self.path.retain(keeps);
        self.path.push(Vouch { object: key, content });
        self.is_unvouched = true;
        key
    }

    /// The delta of the entries from `first` to `last`, and its content.
    pub fn delta_of(&self, first: u64, last: u64) -> (Key, Bytes, [u8; 32]) {
        let state = self.state(last);
        let nothing = Vec::new();
        let pages = |number: u64| if number == 0 { &nothing } else { &self.state(number).pages };
        let written = |index: usize| {
            (first..=last).any(|number| pages(number - 1).get(index) != pages(number).get(index))
        };
        let mut writer = self.writer(Contents::Delta { first: txid(first) }, txid(last));
        let start = EntryStart {
            txid: state.txid,
            kind: EntryKind::Image,
            flags: EntryFlags::NONE,
            time: state.time,
            database_pages: u32::try_from(state.pages.len()).expect(WRITABLE),
            detail: Vec::new(),
        };
        writer.begin_entry(start).expect(WRITABLE);
        for (index, image) in state.pages.iter().enumerate().filter(|(index, _)| written(*index)) {
            writer.page(page(index), image).expect(WRITABLE);
        }
        let entry = writer.end_entry(state.digest).expect(WRITABLE);
        let body = writer.finish_at(state.chain).expect(WRITABLE).tail.into();
        (Key::Delta { first: txid(first), last: txid(last) }, body, entry.content)
    }

    /// Merges the entries from `first` to `last` into a pack, as `replicate` does.
    pub async fn pack(&self, first: u64, last: u64) {
        self.pack_with(first, last, Writer::in_page_order).await;
    }

    /// The same with the images in the order of the entries.
    pub async fn pack_in_order(&self, first: u64, last: u64) {
        self.pack_with(first, last, |writer| writer).await;
    }

    async fn pack_with(&self, first: u64, last: u64, begin: fn(Writer) -> Writer) {
        let before = |number: u64| number.checked_sub(1).filter(|&before| before > 0);
        let chain = before(first).map(|before| self.state(before).chain);
        let chain = chain.unwrap_or_else(|| Chain::genesis(self.manifest.replica));
        let contents = Contents::Pack { first: txid(first), chain };
        let mut writer = begin(self.writer(contents, txid(last)));
        for number in first..=last {
            let state = self.state(number);
            let pages_before = before(number).map_or(&[][..], |before| &self.state(before).pages);
            let start = EntryStart {
                txid: state.txid,
                kind: state.kind,
                flags: state.carry.flags(),
                time: state.time,
                database_pages: u32::try_from(state.pages.len()).expect(WRITABLE),
                detail: state.detail.clone(),
            };
            writer.begin_entry(start).expect(WRITABLE);
            if state.carry == Carry::InSnapshot {
                writer.vouch(content_of(hashes_of(&state.pages))).expect(WRITABLE);
            }
            for (index, image) in state.pages.iter().enumerate() {
                let changed = pages_before.get(index) != Some(image);
                if state.carry == Carry::All || (state.carry == Carry::Changes && changed) {
                    writer.page(page(index), image).expect(WRITABLE);
                }
            }
            writer.end_entry(state.digest).expect(WRITABLE);
        }
        assert_eq!(writer.chain().expect(WRITABLE), self.state(last).chain);
        let key = Key::Pack { first: txid(first), last: txid(last) };
        self.store.put(&key, writer.finish().expect(WRITABLE).tail.into()).await.expect(STORED);
    }

    /// The state after entry `number`.
    #[must_use]
    pub fn state(&self, number: u64) -> &State {
        &self.states[usize::try_from(number).expect(WRITABLE) - 1]
    }

    /// All objects of the history.
    pub async fn objects(&self) -> Vec<Key> {
        let prefixes = [KeyPrefix::Log, KeyPrefix::Pack, KeyPrefix::Delta, KeyPrefix::Snapshot];
        let mut keys = Vec::new();
        for prefix in prefixes {
            let listed = self.store.list(prefix, None).await.expect(STORED);
            keys.extend(listed.into_iter().map(|object| object.key));
        }
        keys
    }

    /// A store of its own with the same objects, and with keys of its own if it is encrypted.
    #[must_use]
    pub fn copy(store: &MemoryStore) -> MemoryStore {
        let copy = MemoryStore::with(store.objects());
        if store.keyring().is_some() { copy.with_keyring(owner()) } else { copy }
    }

    /// The bytes of an object.
    pub async fn body(&self, key: Key) -> Vec<u8> {
        self.store.get(&key, u64::MAX).await.expect(STORED).to_vec()
    }

    /// Another body under the name of an object.
    pub async fn replace(&self, key: Key, body: Vec<u8>) {
        self.store.delete(&key).await.expect(STORED);
        self.store.put(&key, body.into()).await.expect(STORED);
    }
}
