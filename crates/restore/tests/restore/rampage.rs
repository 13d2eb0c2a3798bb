//! A forger who tries everything: whatever comes out is a refusal, or what `verify` and the chain say it is, and costs no
//! more than the bytes that are there.

use std::sync::Arc;

use ebbtide_catalog::{Anchor, PlanError, Progress, Target};
use ebbtide_catalog::{head, read_manifest, rebuild_table};
use ebbtide_replica::{Chain, EntryKind, Key};
use ebbtide_restore::{Error, restore, verify};
use ebbtide_state::State;
use ebbtide_store::{MemoryStore, Store as _};
use ebbtide_testkit::forger::{Choices, Forged, Metered, change, cover_up};
use ebbtide_testkit::{Random, for_each_seed};

use crate::builder::{Builder, Carry, copy, options, restored};

/// Reading all of a replica some times over is no more than this often its bytes.
const BYTES_FACTOR: u64 = 60;

/// With a second snapshot and a pack, or without, so that nothing contradicts a history that was rewritten from some entry
/// on.
async fn sample(with_more: bool) -> Builder {
    let mut builder = Builder::started(512, 8).await;
    for number in 0..6_usize {
        builder.commit(&[(number, 7), (3, number as u64)], 8 + number % 3);
        if number == 2 && with_more {
            builder.snapshot().await;
        }
        if number == 4 {
            let pages = builder.last().pages.clone();
            builder.enter(EntryKind::Resync, pages, Carry::All, b"{}");
        }
        if number == 3 && with_more {
            builder.delta(6).await;
        }
        if number % 2 == 0 {
            builder.cut().await;
        }
    }
    builder.cut().await;
    if with_more {
        builder.pack(4, 6).await;
    }
    builder
}

/// Changes some objects, and with luck makes the history after them follow.
async fn forge(store: &MemoryStore, keys: &[Key], choices: &mut Choices<'_>) {
    let mut chain = None;
    let victim = choices.below(keys.len());
    for (at, &key) in keys.iter().enumerate() {
        let body = store.get(&key, u64::MAX).await.unwrap();
        let mut forged = Forged::take_apart(&body).unwrap();
        let follows = matches!((key, chain), (Key::Log(_), Some(_)));
        if at != victim && !follows {
            continue;
        }
        if let (true, Some(chain)) = (follows, chain) {
            forged.follow(chain);
        }
        if at == victim {
            for _ in 0..=choices.byte() % 3 {
                change(&mut forged, choices);
            }
            cover_up(&mut forged, choices);
            if choices.byte().is_multiple_of(2) && matches!(key, Key::Log(_)) {
                chain = Some(forged.chain_after());
            }
        } else if chain.is_some() {
            chain = Some(forged.chain_after());
        }
        store.delete(&key).await.unwrap();
        store.put(&key, forged.put_together().into()).await.unwrap();
    }
}

/// What whoever knows the chain of the last entry gets.
async fn expecting(store: &Arc<Metered>, chain: Chain) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let mut options = options(Target::Latest, &output);
    options.expect = Some(Anchor { chain, txid: None });
    restore(Arc::clone(store) as _, &options, &Arc::new(Progress::default())).await?;
    Ok(std::fs::read(&output).unwrap())
}

/// As a start without local state does; how long its table of page hashes gets.
async fn attach(store: &Metered) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let fill = State::create(directory.path()).unwrap();
    let Ok(Some(manifest)) = read_manifest(store).await else { return 0 };
    if let Ok(Some(head)) = head(store, &manifest).await {
        // Whether it is refused or not, only its cost is of interest here.
        let rebuilt = rebuild_table(store, &manifest, &head, &fill).await;
        drop(rebuilt);
    }
    let files = std::fs::read_dir(directory.path()).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn z01_z07_z10_whatever_a_forger_tries_is_refused_or_what_verify_says_and_costs_no_more_than_its_bytes()
 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let builders = [false, true].map(|with_more| runtime.block_on(sample(with_more)));
    let (mut sound, mut refused) = (0, 0);
    for_each_seed(400, |seed| {
        let builder = &builders[usize::from(seed % 2 == 1)];
        let (image, chain) = (builder.last().image(), builder.last().chain);
        let keys = runtime.block_on(builder.objects());
        let mut random = Random::new(seed);
        let bytes: Vec<u8> = (0..8).flat_map(|_| random.next().to_le_bytes()).collect();
        runtime.block_on(async {
            let store = copy(&builder.store).await;
            forge(&store, &keys, &mut Choices(&bytes)).await;
            let total: u64 = store.objects().iter().map(|(_, body)| body.len() as u64).sum();
            let metered = Arc::new(Metered::new(Arc::new(store.clone())));
            let verified = verify(Arc::clone(&metered) as _, &Arc::default()).await;
            let latest = restored(&store, Target::Latest).await;
            if verified.is_ok_and(|verified| verified.is_sound()) {
                sound += 1;
                let restored = matches!(&latest, Ok(_) | Err(Error::Plan(PlanError::Nothing(_))));
                assert!(restored, "verify says sound: {:?}", latest.err());
            }
            refused += u64::from(latest.is_err());
            if let Ok(restored) = expecting(&metered, chain).await {
                assert!(restored == image, "the chain does not tell");
            }
            let table = attach(&metered).await;
            assert!(table <= total, "a table of {table} bytes for {total}");
            let read = metered.bytes();
            assert!(read <= BYTES_FACTOR * total, "{read} bytes were read of {total}");
        });
    });
    // Not with a seed of somebody's choice.
    let all = std::env::var_os("EBBTIDE_SEED").is_none();
    assert!(!all || (sound > 5 && refused > 50), "{sound} sound, {refused} refused");
}
