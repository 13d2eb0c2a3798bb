//! Two passes over a replica of many segments: how long they take, and how much memory.
//!
//! ```sh
//! cargo bench --workspace --bench prune                                    # 100,000 segments in a directory
//! cargo bench --workspace --bench prune -- 100000 's3://bucket/app?endpoint=http://127.0.0.1:9000'
//! ```
//!
//! All objects were put just now, so the store is told to be older than it is.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::container::{Contents, EntryStart, Header, Index, Merge, Parsed, Writer};
use ebbtide_replica::{
    Chain, Digest, EntryFlags, EntryKind, Key, KeyPrefix, Manifest, PageHash, ReplicaId, Timestamp,
    Txid, Vouch, content_of, page_hash,
};
use ebbtide_retention::{Pass, prune};
use ebbtide_store::{
    ByteStream, Conditional, Keyring, Location, NotDeleted, Object, Store, StoreError, Upload,
};
use ebbtide_wal::{PageNumber, PageSize};
use futures::{StreamExt as _, stream};

const PACK: u64 = 512;
const SNAPSHOT: u64 = 10_000;
const HOUR: i64 = 3_600_000_000;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Error> {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let segments: u64 = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let address =
        args.next().unwrap_or_else(|| directory.path().join("replica").display().to_string());
    let store = address.parse::<Location>()?.open().await?;
    let begun = Instant::now();
    let objects = write(&*store, segments).await?;
    println!("{objects} objects written in {:.1} s", begun.elapsed().as_secs_f64());
    let pass = Pass {
        keep: Some("every-commit=1h,last=2".parse()?),
        confirm_shrink: true,
        thorough: true,
        by: "a benchmark".to_owned(),
    };
    for (what, hours) in [("segments in packs, condemned", 48), ("what was condemned", 96)] {
        let store: Arc<dyn Store> =
            Arc::new(Aged { store: Arc::clone(&store), micros: hours * HOUR });
        let begun = Instant::now();
        let pruned = prune(store, &pass).await?;
        println!(
            "{what}: {:.1} s; {} and {} objects deleted, {} condemned; {} MB at most",
            begun.elapsed().as_secs_f64(),
            pruned.packed.objects,
            pruned.condemned.objects,
            pruned.outlook.unneeded.len(),
            peak_megabytes()?
        );
    }
    Ok(())
}

/// The most memory that this process had by now.
fn peak_megabytes() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").parse()?;
    Ok(kib / 1024)
}

/// Writes a claim, a first state and so many commits of a page, a second each, as segments and packs.
async fn write(store: &dyn Store, segments: u64) -> Result<u64, Error> {
    store.begin().await?;
    let (replica, page_size) = (ReplicaId::random()?, PageSize::new(512).ok_or("a page size")?);
    let created = Timestamp::EPOCH;
    let (created_by, encryption) = ("a benchmark".to_owned(), None);
    let manifest = Manifest { replica, page_size, created, created_by, encryption };
    store.put(&Key::Manifest, manifest.to_json().into()).await?;
    let mut chain = Chain::genesis(replica);
    let (mut bodies, mut puts, mut vouch) = (Vec::new(), Vec::new(), None);
    let mut objects = 1;
    for number in 1..=segments {
        let first = Txid::new(number).ok_or("a txid")?;
        let mut writer = Writer::new(Header {
            replica,
            page_size,
            contents: Contents::Segment { first, chain },
        });
        let (kind, flags, pages) = match number {
            1 => (EntryKind::Claim, EntryFlags::NONE, 0),
            2 => (EntryKind::Resync, EntryFlags::COMPLETE, 1),
            _ => (EntryKind::Commit, EntryFlags::NONE, 1),
        };
        let time = Timestamp::from_micros(i64::try_from(number)? * 1_000_000).ok_or("a time")?;
        let vouches: Vec<Vouch> = vouch.take().into_iter().collect();
        let detail =
            if vouches.is_empty() { Vec::new() } else { Vouch::to_detail(&vouches, None)? };
        let start = EntryStart { txid: first, kind, flags, time, database_pages: pages, detail };
        writer.begin_entry(start)?;
        let (image, hash) = page(number);
        let mut digest = Digest::EMPTY;
        if pages > 0 {
            writer.page(PageNumber::ONE, &image)?;
            digest = digest.toggle(hash);
        }
        writer.end_entry(digest)?;
        chain = writer.chain().ok_or("a segment has a chain")?;
        let body: Bytes = writer.finish()?.tail.into();
        bodies.push(body.clone());
        puts.push((Key::Log(first), body));
        if number % SNAPSHOT == 0 {
            let contents = Contents::Snapshot { txid: first };
            let mut writer = Writer::new(Header { replica, page_size, contents });
            let (kind, flags) = (EntryKind::Image, EntryFlags::COMPLETE);
            let (database_pages, detail) = (1, Vec::new());
            writer.begin_entry(EntryStart {
                txid: first,
                kind,
                flags,
                time,
                database_pages,
                detail,
            })?;
            writer.page(PageNumber::ONE, &image)?;
            writer.end_entry(digest)?;
            puts.push((Key::Snapshot(first), writer.finish_at(chain)?.tail.into()));
            vouch = Some(Vouch { object: Key::Snapshot(first), content: content_of([hash]) });
        }
        if bodies.len() as u64 == PACK && number < segments {
            puts.push(pack(&bodies)?);
            bodies.clear();
        }
        if puts.len() >= 1000 || number == segments {
            objects += puts.len() as u64;
            put_all(store, std::mem::take(&mut puts)).await?;
        }
    }
    Ok(objects)
}

fn page(number: u64) -> ([u8; 512], PageHash) {
    let mut image = [0; 512];
    image[..8].copy_from_slice(&number.to_le_bytes());
    let hash = page_hash(PageNumber::ONE, &image);
    (image, hash)
}

fn pack(bodies: &[Bytes]) -> Result<(Key, Bytes), Error> {
    let mut merge: Option<Merge> = None;
    for body in bodies {
        let Parsed::Ready(index) = Index::parse(body.len() as u64, body, body)? else {
            return Err("the whole object is at hand".into());
        };
        let merge = match &mut merge {
            Some(merge) => merge,
            None => merge.insert(Merge::begin(&index)?),
        };
        merge.add(&index, body)?;
    }
    let merge = merge.ok_or("there are segments")?;
    Ok((merge.key(), merge.finish()?.into()))
}

async fn put_all(store: &dyn Store, puts: Vec<(Key, Bytes)>) -> Result<(), StoreError> {
    let mut put = stream::iter(puts)
        .map(|(key, body)| async move { store.put(&key, body).await })
        .buffer_unordered(32);
    while let Some(result) = put.next().await {
        result?;
    }
    Ok(())
}

/// A store whose objects are older than they are.
#[derive(Debug)]
struct Aged {
    store: Arc<dyn Store>,
    micros: i64,
}

#[async_trait]
impl Store for Aged {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.store.put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key, expected).await
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.store.get(key, limit).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.get_range(key, range).await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        self.store.get_stream(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.store.size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let mut objects = self.store.list(under, after).await?;
        for object in &mut objects {
            let micros = object.modified.as_micros() - self.micros;
            object.modified = Timestamp::from_micros(micros).unwrap_or(object.modified);
        }
        Ok(objects)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        self.store.delete_many(keys).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.store.now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.store.probe().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep().await
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.store.keyring()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }

    fn address(&self) -> String {
        self.store.address()
    }
}
