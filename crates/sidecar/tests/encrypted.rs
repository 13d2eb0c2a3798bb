//! Databases that are followed into encrypted replicas: whoever has the identity restores every state that there was,
//! whatever the application did and however often the process that follows ended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{Progress, Target};
use ebbtide_config::Database;
use ebbtide_replica::{EntryKind, KeyPrefix, Timestamp};
use ebbtide_restore::Options as RestoreOptions;
use ebbtide_seal::{Keys, Wrap};
use ebbtide_sidecar::{Hooks, How, Sidecar};
use ebbtide_store::{KeyedStore, Keyring, Location, Store};
use ebbtide_testkit::actor::{self, Actor, Ask};
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::wrapped::{Identities, Recipient};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::PageSize;
use tempfile::TempDir;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Not a test: the application, when this binary is started as one.
#[test]
fn actor() {
    actor::run_if_asked();
}

/// A database, its encrypted replica, and what it was after each commit.
struct Place {
    directory: TempDir,
    told: Vec<Image>,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn replica(&self, name: &str) -> Location {
        self.path(name).to_str().unwrap().parse().unwrap()
    }

    /// The replica as the owner of the identity reads it.
    async fn owned(&self, name: &str) -> Arc<dyn Store> {
        let identity = Arc::new(Identities(vec!["owner"]));
        let keyring = Arc::new(Keyring::new(Keys::NONE, Some(identity)));
        Arc::new(KeyedStore::new(self.replica(name).open().await.unwrap(), keyring))
    }

    fn act(&mut self, actor: &mut Actor, ask: Ask) {
        self.told.extend(actor.act(ask).commits.iter().filter_map(|commit| commit.image));
    }

    /// Restores every state of a replica; how many they are. The last is that of the database.
    async fn compare(&self, name: &str) -> usize {
        let store = self.owned(name).await;
        let manifest = ebbtide_catalog::read_manifest(&*store).await.unwrap().unwrap();
        assert!(manifest.encryption.is_some());
        let mut states = Vec::new();
        for object in ebbtide_catalog::list(&*store).await.unwrap().log {
            let fetched = ebbtide_catalog::read_index(&*store, &manifest, object).await.unwrap();
            let entries = fetched.index.entries().iter();
            states.extend(entries.filter(|it| it.kind != EntryKind::Claim).map(|it| it.txid));
        }
        let mut last = None;
        for &txid in &states {
            let output = self.path("restored.db");
            let options = RestoreOptions {
                target: Target::Txid(txid),
                output: output.clone(),
                force: false,
                state: None,
                expect: None,
                now: Timestamp::MAX,
                check: None,
                bytes_per_second: None,
            };
            let progress = Arc::new(Progress::default());
            ebbtide_restore::restore(Arc::clone(&store), &options, &progress).await.unwrap();
            let image = Image::of_file(&output).unwrap();
            std::fs::remove_file(&output).unwrap();
            assert!(self.told.contains(&image), "{name}: nobody committed {txid}");
            last = Some(image);
        }
        assert_eq!(last, self.told.last().copied(), "{name}");
        states.len()
    }
}

fn how() -> How {
    let wrap: Arc<dyn Wrap> = Arc::new(Recipient("owner"));
    How { wrap: Some(wrap), ..How::default() }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

/// Would catch a state that nobody can open, and one that is not what was committed: across page keys of several processes,
/// ends in the midst of it, and a log that was restarted meanwhile.
#[test]
fn every_state_is_there_for_whoever_has_the_identity() {
    for_each_seed(2, |seed| {
        run(async {
            let mut random = Random::new(seed);
            let directory = tempfile::tempdir().unwrap();
            let mut place = Place { directory, told: Vec::new() };
            let options = Options::plain(PageSize::new(1024).unwrap());
            let mut actor = Actor::start("actor", &place.path("app.db"), seed, &options).unwrap();
            place.told.push(actor.begin());
            place.act(&mut actor, Ask::Insert(20, 700));
            for round in 0..4 {
                let mut sidecar = Sidecar::new(Hooks::default());
                let mut database = Database::new(place.path("app.db"), place.replica("backup"));
                database.mirrors = vec![place.replica("mirror")];
                if round == 3 {
                    sidecar.add(database, How { is_once: true, ..how() }).unwrap();
                    sidecar.next_ended().await.unwrap().result.unwrap();
                    break;
                }
                let app = sidecar.add(database, how()).unwrap();
                app.following().await.unwrap();
                for _ in 0..random.below(12) {
                    place.act(&mut actor, Ask::Any);
                }
                if random.below(2) == 0 {
                    app.durable().await.unwrap();
                    for ended in sidecar.stop(PATIENCE).await {
                        ended.result.unwrap();
                    }
                } else {
                    sidecar.abort().await;
                }
                // What nobody follows.
                if random.below(2) == 0 {
                    place.act(&mut actor, Ask::Any);
                }
            }
            assert!(place.compare("backup").await > 4);
            place.compare("mirror").await;
            // An index key, and a page key at least for each time that it was followed.
            let store = place.owned("mirror").await;
            assert!(store.list(KeyPrefix::Wrapped, None).await.unwrap().len() >= 5);
        });
    });
}
