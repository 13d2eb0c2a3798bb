//! Every byte of two small replicas changed, every object cut at every length, deleted, and put in another's place
//! (hazards S12, S15): a verification must find it and name the object, and a restore must refuse with an error that
//! names it, or restore exactly around it, and leave no file where it refused.
//!
//! One replica is written here: a claim, snapshots, commits in segments of one and of several entries, a pack, a delta.
//! The other is the golden one, and must stay as well protected as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ebbtide_catalog::{PlanError, Progress, Target};
use ebbtide_replica::{Key, Manifest, Txid};
use ebbtide_restore::{Error, Verification, restore, verify};
use ebbtide_store::{MemoryStore, Store as _};
use ebbtide_testkit::keys::owner;

use crate::builder::{Builder, Form, options, restored, txid};

/// A replica as the bytes of its objects, and its states.
struct Sample {
    objects: BTreeMap<Key, Bytes>,
    states: Vec<(Txid, Vec<u8>)>,
    /// Whether its first claim states the manifest.
    states_manifest: bool,
    is_encrypted: bool,
}

impl Sample {
    async fn of(store: &MemoryStore, txids: impl IntoIterator<Item = u64>) -> Sample {
        let named = |(name, body): (String, Bytes)| Some((Key::parse(&name)?, body));
        let objects = store.objects().into_iter().filter_map(named).collect();
        let mut states = Vec::new();
        for number in txids {
            let (image, _) = restored(store, Target::Txid(txid(number))).await.unwrap();
            states.push((txid(number), image));
        }
        let is_encrypted = store.keyring().is_some();
        Sample { objects, states, states_manifest: true, is_encrypted }
    }

    async fn written() -> Sample {
        Sample::written_as(Form::Plain).await
    }

    async fn written_as(form: Form) -> Sample {
        let mut builder = Builder::started_as(form, 512, 3).await;
        for number in 0..7_usize {
            builder.commit(&[(number % 3, number as u64)], 3 + number % 2);
            if number == 3 {
                builder.snapshot().await;
            }
            if number == 5 {
                builder.delta(7).await;
            }
            if number % 3 != 1 {
                builder.cut().await;
            }
        }
        builder.cut().await;
        builder.pack(4, 8).await;
        Sample::of(&builder.store, 2..=9).await
    }

    async fn golden() -> Sample {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replica/tests/golden/v1");
        let store = MemoryStore::default();
        for under in ["", "log", "snap", "pack", "delta"] {
            for file in std::fs::read_dir(directory.join(under)).unwrap() {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                let name = if under.is_empty() { name } else { format!("{under}/{name}") };
                if let Some(key) = Key::parse(&name) {
                    store.put(&key, std::fs::read(file.path()).unwrap().into()).await.unwrap();
                }
            }
        }
        Sample { states_manifest: false, ..Sample::of(&store, 2..=5).await }
    }

    /// The replica with other bodies in the place of some objects; nothing in the place of those deleted.
    async fn with(&self, harm: &Harm) -> MemoryStore {
        let store = MemoryStore::default();
        for key in self.objects.keys() {
            let body = harm.bodies.iter().find(|(harmed, _)| harmed == key);
            let body = body.map_or(Some(&self.objects[key]), |(_, body)| body.as_ref());
            if let Some(body) = body {
                store.put(key, body.clone()).await.unwrap();
            }
        }
        // What was opened for another harm is not known here.
        if self.is_encrypted { store.with_keyring(owner()) } else { store }
    }

    /// The last entry of the log, as it ends if `harm` takes its end away.
    fn is_last(&self, key: Key) -> bool {
        self.objects.keys().filter(|key| matches!(key, Key::Log(_))).max() == Some(&key)
    }
}

/// What is done to a replica.
#[derive(Debug, Clone)]
struct Harm {
    what: String,
    bodies: Vec<(Key, Option<Bytes>)>,
    /// Whether a verification has to find it.
    found: bool,
    wanted: Wanted,
}

/// Which states are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Newest,
    Middle,
    Both,
}

impl Harm {
    /// By the name of one of the objects; of a wrapped key also by its id.
    fn names(&self, text: &str) -> bool {
        self.bodies.iter().any(|(key, _)| {
            let id = match key {
                Key::Wrapped { id, .. } => id.to_string(),
                key => key.to_string(),
            };
            text.contains(&id)
        })
    }
}

/// All single bytes, to two other values each.
fn bytes(sample: &Sample) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (key, body) in &sample.objects {
        for at in 0..body.len() {
            // One bit, and all of them; with the one the newest state is restored, with the other one in the middle.
            let values = [(body[at] ^ 1 << (at % 8), Wanted::Newest), (!body[at], Wanted::Middle)];
            for (value, wanted) in values {
                let mut harmed = body.to_vec();
                harmed[at] = value;
                let found = sample.states_manifest || !is_same_manifest(*key, body, &harmed);
                let what = format!("{key}: byte {at} is {value:#04x}");
                let bodies = vec![(*key, Some(harmed.into()))];
                harms.push(Harm { what, bodies, found, wanted });
            }
        }
    }
    harms
}

/// Whether two manifests differ only in what is told to people: who made the replica, and when. The first claim of the
/// golden replica does not state it.
fn is_same_manifest(key: Key, one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (Manifest::from_json(one), Manifest::from_json(other)) else {
        return false;
    };
    key == Key::Manifest && (one.replica, one.page_size) == (other.replica, other.page_size)
}

/// All objects cut at all lengths, and with a byte too many.
fn lengths(sample: &Sample) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (key, body) in &sample.objects {
        for length in 0..body.len() {
            let what = format!("{key}: cut to {length}");
            // A manifest that loses all is as good as missing.
            let is_empty = *key == Key::Manifest && length == 0;
            let is_same = is_same_manifest(*key, body, &body[..length]);
            let found = !is_empty && (sample.states_manifest || !is_same);
            harms.push(Harm {
                what,
                bodies: vec![(*key, Some(body.slice(..length)))],
                found,
                wanted: Wanted::Both,
            });
        }
        let longer = [body, &b"!"[..]].concat();
        let what = format!("{key}: one byte too many");
        harms.push(Harm {
            what,
            bodies: vec![(*key, Some(longer.into()))],
            found: true,
            wanted: Wanted::Both,
        });
    }
    harms
}

/// Objects deleted, one in the place of another, two swapped, and all segments moved on by one place.
fn places(sample: &Sample) -> Vec<Harm> {
    let keys: Vec<Key> = sample.objects.keys().copied().collect();
    let mut harms = Vec::new();
    for &key in &keys {
        // Whatever else says the same, or comes later, may go; and where the log ends nothing tells how long it was.
        let what = format!("{key}: deleted");
        // Its beginning is told by no horizon to be thinned; in the golden replica a pack has it, too.
        let is_key = matches!(key, Key::Wrapped { .. });
        let found = is_key || (sample.states_manifest && key == Key::Log(Txid::FIRST));
        harms.push(Harm { what, bodies: vec![(key, None)], found, wanted: Wanted::Both });
        for &other in keys.iter().filter(|other| **other != key) {
            let body = |key: Key| Some(sample.objects[&key].clone());
            let what = format!("{key}: is {other}");
            harms.push(Harm {
                what,
                bodies: vec![(key, body(other))],
                found: true,
                wanted: Wanted::Both,
            });
            if key < other {
                let what = format!("{key} and {other}: swapped");
                let bodies = vec![(key, body(other)), (other, body(key))];
                harms.push(Harm { what, bodies, found: true, wanted: Wanted::Both });
            }
        }
    }
    let logs: Vec<Key> = keys.into_iter().filter(|key| matches!(key, Key::Log(_))).collect();
    let next = logs.iter().cycle().skip(1);
    let bodies = logs.iter().zip(next);
    let bodies = bodies.map(|(key, next)| (*key, Some(sample.objects[next].clone()))).collect();
    harms.push(Harm {
        what: "all segments: moved on".to_owned(),
        bodies,
        found: true,
        wanted: Wanted::Both,
    });
    harms
}

#[derive(Debug, Default)]
struct Counts {
    found: AtomicUsize,
    refused: AtomicUsize,
    exact: AtomicUsize,
}

/// Does each of the harms to a replica of its own, on two threads.
fn sweep(name: &str, sample: &Sample, harms: &[Harm]) {
    let (next, counts) = (AtomicUsize::new(0), Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let directory = quick_directory();
                while let Some(harm) = harms.get(next.fetch_add(1, Ordering::Relaxed)) {
                    runtime.block_on(try_harm(sample, harm, directory.path(), &counts));
                }
            });
        }
    });
    println!("{name}: {} harms, {counts:?}", harms.len());
}

fn quick_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

async fn try_harm(sample: &Sample, harm: &Harm, directory: &Path, counts: &Counts) {
    let store = sample.with(harm).await;
    let verified = verify(Arc::new(store.clone()), &Arc::new(Progress::default())).await;
    let found = judge(harm, verified);
    assert!(found || !harm.found, "{}: the verification found nothing", harm.what);
    counts.found.fetch_add(usize::from(found), Ordering::Relaxed);
    let middle = Target::Txid(sample.states[sample.states.len() / 2].0);
    let targets = match harm.wanted {
        Wanted::Newest => vec![Target::Latest],
        Wanted::Middle => vec![middle],
        Wanted::Both => vec![Target::Latest, middle],
    };
    for target in targets {
        if try_restore(sample, harm, &store, target, directory).await {
            counts.exact.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether a verification found something; then it has to name one of the objects.
fn judge(harm: &Harm, verified: Result<Verification, Error>) -> bool {
    match verified {
        Ok(verification) if verification.is_sound() => false,
        Ok(verification) => {
            let named = verification.findings.iter().any(|found| harm.names(&found.to_string()));
            assert!(named, "{}: {:?}", harm.what, verification.findings);
            true
        }
        Err(error) => {
            assert!(is_refusal(harm, &error), "{}: {error}", harm.what);
            true
        }
    }
}

/// An error with exit code 3 or 4 that names one of the objects.
fn is_refusal(harm: &Harm, error: &Error) -> bool {
    match error {
        // Without its manifest there is no replica, and what is missing has no name.
        Error::Plan(PlanError::Nothing(_)) => harm.bodies.iter().any(|(_, body)| body.is_none()),
        Error::Plan(PlanError::Damaged { .. } | PlanError::Newer { .. } | PlanError::Key(_)) => {
            harm.names(&error.to_string())
        }
        _ => false,
    }
}

/// Whether a restore was exact; if not, it was refused rightly.
async fn try_restore(
    sample: &Sample,
    harm: &Harm,
    store: &MemoryStore,
    target: Target,
    directory: &Path,
) -> bool {
    let output = directory.join("out.db");
    let options = options(target, &output);
    let progress = Arc::new(Progress::default());
    let outcome = match restore(Arc::new(store.clone()), &options, &progress).await {
        Err(error) => {
            assert!(is_refusal(harm, &error), "{}: {target:?}: {error}", harm.what);
            false
        }
        Ok(report) => {
            let image = std::fs::read(&output).unwrap();
            std::fs::remove_file(&output).unwrap();
            let known =
                sample.states.iter().find(|(txid, _)| *txid == report.outline.point.state.txid());
            assert!(known.is_some_and(|(_, known)| *known == image), "{}: wrong", harm.what);
            let newest =
                known.map(|(txid, _)| *txid) == sample.states.last().map(|(txid, _)| *txid);
            let shorter = harm.bodies.iter().any(|(key, _)| sample.is_last(*key));
            assert!(target != Target::Latest || newest || shorter, "{}: older", harm.what);
            true
        }
    };
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "{}: a file is left", harm.what);
    outcome
}

#[tokio::test]
async fn s15_every_byte_of_a_replica_is_vouched_for() {
    let sample = Sample::written().await;
    sweep("every byte", &sample, &bytes(&sample));
}

#[tokio::test]
async fn s15_every_byte_of_the_golden_replica_is_vouched_for() {
    let sample = Sample::golden().await;
    sweep("every byte of the golden replica", &sample, &bytes(&sample));
}

#[tokio::test]
async fn s15_every_truncation_is_found() {
    let sample = Sample::written().await;
    sweep("every length", &sample, &lengths(&sample));
    let sample = Sample::golden().await;
    sweep("every length of the golden replica", &sample, &lengths(&sample));
}

#[tokio::test]
async fn s12_s15_every_deletion_swap_and_reordering_is_found_or_harmless() {
    let sample = Sample::written().await;
    sweep("every place", &sample, &places(&sample));
    let sample = Sample::golden().await;
    sweep("every place of the golden replica", &sample, &places(&sample));
}

/// H36: the same of an encrypted replica and of its wrapped keys, for who can open everything.
#[tokio::test]
async fn h36_every_byte_of_an_encrypted_replica_is_vouched_for() {
    let sample = Sample::written_as(Form::Encrypted).await;
    sweep("every byte of an encrypted replica", &sample, &bytes(&sample));
}

#[tokio::test]
async fn h36_what_is_cut_swapped_or_renamed_in_an_encrypted_replica_is_found_or_harmless() {
    let sample = Sample::written_as(Form::Encrypted).await;
    sweep("every length of an encrypted replica", &sample, &lengths(&sample));
    sweep("every place of an encrypted replica", &sample, &places(&sample));
}
