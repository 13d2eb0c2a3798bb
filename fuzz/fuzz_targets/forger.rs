//! Any changes to a small replica, each object of which has the right checksums: read by `log`, `verify`, `restore` and a
//! start without local state.
//!
//! Whatever comes out is a refusal, or what `verify` says it is; whoever knows the chain gets the database that was
//! written, or a refusal; and nothing costs more than the bytes that are there.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;

use ebbtide_catalog::{head, list, read_indexes, read_manifest, rebuild_table, PlanError};
use ebbtide_state::State;
use ebbtide_store::{MemoryStore, Store};
use ebbtide_replica::container::{Index, Merge, Parsed};
use ebbtide_replica::{KeyPrefix, Timestamp};
use ebbtide_catalog::{Anchor, Progress, Target};
use ebbtide_restore::{Error, Options, restore, verify};
use futures::TryStreamExt;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

#[path = "../../crates/testkit/src/forger/object.rs"]
mod object;
#[path = "../../crates/testkit/src/forger/whim.rs"]
mod whim;

use object::Forged;
use whim::{Choices, change, cover_up};

/// The chain after the last entry of the golden replica.
const CHAIN: &str = "24cab742751466d2169d9144cb7ae8b7b75f20b20797a10795486fc8bd1b9c4e";

/// The objects of the golden replica, by their names.
static GOLDEN: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/replica/tests/golden/v1");
    let mut names = vec!["ebbtide.json".to_owned()];
    for directory in KeyPrefix::ALL {
        // It has no horizon and no mark.
        let Ok(files) = std::fs::read_dir(golden.join(directory.name())) else { continue };
        for file in files {
            let name = file.expect("a file").file_name();
            names.push(format!("{directory}/{}", name.to_string_lossy()));
        }
    }
    // The manifest stays the first: it is no object, and the log follows itself in order.
    names[1..].sort();
    assert!(names.len() > 1, "the golden replica is gone");
    let read = |name: String| (name.clone(), std::fs::read(golden.join(name)).expect("a file"));
    let mut objects: Vec<(String, Vec<u8>)> = names.into_iter().map(read).collect();
    objects.push(pack(&objects).expect("the golden log is sound"));
    objects
});

/// All of the log as a pack of today.
fn pack(objects: &[(String, Vec<u8>)]) -> ebbtide_replica::Result<(String, Vec<u8>)> {
    let mut merge: Option<Merge> = None;
    for (_, body) in objects.iter().filter(|(name, _)| name.starts_with("log/")) {
        let Parsed::Ready(index) = Index::parse(body.len() as u64, body, body)? else {
            unreachable!("the whole object is at hand")
        };
        let merge = match &mut merge {
            Some(merge) => merge,
            None => merge.insert(Merge::begin(&index)?),
        };
        merge.add(&index, body)?;
    }
    let merge = merge.expect("there is a log");
    Ok((merge.key().to_string(), merge.finish()?))
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// What is restored of the golden replica.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let objects = GOLDEN.iter().map(|(name, body)| (name.clone(), body.clone().into()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::with(objects));
    RUNTIME.block_on(restored(&store, true)).expect("the golden replica is sound")
});

fuzz_target!(|bytes: &[u8]| {
    let store = forge(&mut Choices(bytes));
    let total: u64 = store.objects().iter().map(|(_, body)| body.len() as u64).sum();
    let image = &*IMAGE;
    let store: Arc<dyn Store> = Arc::new(store);
    RUNTIME.block_on(async {
        show(&*store).await;
        let verified = verify(Arc::clone(&store), &Arc::default()).await;
        let latest = restored(&store, false).await;
        if verified.is_ok_and(|verified| verified.is_sound()) {
            let fine = matches!(&latest, Ok(_) | Err(Error::Plan(PlanError::Nothing(_))));
            assert!(fine, "verify says sound: {:?}", latest.err());
        }
        if let Ok(restored) = restored(&store, true).await {
            assert!(&restored == image, "the chain does not tell");
        }
        let table = attach(&*store).await;
        assert!(table <= total, "a table of {table} bytes for {total}");
    });
});

/// The golden replica with some changes, and with luck with a history that follows from them.
fn forge(choices: &mut Choices<'_>) -> MemoryStore {
    let victim = 1 + choices.below(GOLDEN.len() - 1);
    let mut chain = None;
    let forged = GOLDEN.iter().enumerate().map(|(at, (name, body))| {
        let follows = chain.filter(|_| name.starts_with("log/"));
        if at != victim && follows.is_none() {
            return (name.clone(), body.clone().into());
        }
        let mut forged = Forged::take_apart(body).expect("it is sound");
        if let Some(chain) = follows {
            forged.follow(chain);
        }
        if at == victim {
            for _ in 0..=choices.byte() % 4 {
                change(&mut forged, choices);
            }
            cover_up(&mut forged, choices);
        }
        if name.starts_with("log/") && (chain.is_some() || choices.byte() % 2 == 0) {
            chain = Some(forged.chain_after());
        }
        (name.clone(), forged.put_together().into())
    });
    MemoryStore::with(forged.collect::<Vec<_>>())
}

/// As `log` does.
async fn show(store: &dyn Store) {
    let Ok(Some(manifest)) = read_manifest(store).await else { return };
    let listing = list(store).await.expect("a store in memory");
    let indexes = read_indexes(store, &manifest, listing.log);
    // An error is as good as a listing.
    drop(indexes.try_collect::<Vec<_>>().await);
}

/// The newest state; of the one history that is known, if that is asked for.
async fn restored(store: &Arc<dyn Store>, known: bool) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir_in(memory()).expect("a directory in memory");
    let output = directory.path().join("out.db");
    let anchor = Anchor { chain: CHAIN.parse().expect("a chain"), txid: None };
    let options = Options {
        target: Target::Latest,
        output: output.clone(),
        force: false,
        state: None,
        expect: known.then_some(anchor),
        check: None,
        bytes_per_second: None,
        now: Timestamp::EPOCH,
    };
    restore(Arc::clone(store), &options, &Arc::new(Progress::default())).await?;
    Ok(std::fs::read(&output).expect("what was restored"))
}

/// As a start without local state does; how many bytes it writes.
async fn attach(store: &dyn Store) -> u64 {
    let directory = tempfile::tempdir_in(memory()).expect("a directory in memory");
    let fill = State::create(directory.path()).expect("a state");
    let Ok(Some(manifest)) = read_manifest(store).await else { return 0 };
    if let Ok(Some(head)) = head(store, &manifest).await {
        drop(rebuild_table(store, &manifest, &head, &fill).await);
    }
    let files = std::fs::read_dir(directory.path()).expect("the state");
    files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
}

fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
