//! What a replica has: its entries, and its states restored and compared.

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use ebbtide_catalog::{Progress, Survey, Target};
use ebbtide_replica::{Entry, EntryFlags, EntryKind, Timestamp, Txid};
use ebbtide_restore::Options;
use ebbtide_store::{Credentials, KeyedStore, Location, S3Store, Store};
use ebbtide_testkit::faulty::Faulty;
use ebbtide_testkit::for_each_at_once;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::{Owner, image};

/// States are restored side by side, in all tests of this process together so many at once: a restore needs some
/// megabytes of memory, and waits for a disk as often as for a CPU.
static RESTORES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(2 * cpus)
});

/// The history that a replica has, read from within the test.
pub(crate) struct History {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

impl History {
    /// The one at an address that needs no credentials.
    pub(crate) fn open(address: &str) -> History {
        let runtime = runtime();
        let location: Location = address.parse().unwrap();
        let store = runtime.block_on(location.open()).unwrap();
        History { runtime, store }
    }

    /// The one under `prefix` on a server in this process.
    pub(crate) fn on(server: &S3Server, prefix: &str) -> History {
        History::in_bucket(&server.address(prefix), &Credentials::new(ACCESS_KEY, SECRET_KEY))
    }

    /// The one at the address of a bucket.
    pub(crate) fn in_bucket(address: &str, credentials: &Credentials) -> History {
        let runtime = runtime();
        let Location::S3(location) = address.parse().unwrap() else { panic!("{address}") };
        let store = runtime.block_on(S3Store::open_as(&location, credentials)).unwrap();
        History { runtime, store: Arc::new(store) }
    }

    /// The same of an encrypted replica, opened by the identity of its owner.
    pub(crate) fn of(self, owner: &Owner) -> History {
        let store = Arc::new(KeyedStore::new(self.store, Arc::clone(&owner.keyring)));
        History { store, ..self }
    }

    /// The same through a store that fails as a script says.
    pub(crate) fn through_faults(self) -> (History, Faulty) {
        let faulty = Faulty::new(self.store);
        (History { store: Arc::new(faulty.clone()), ..self }, faulty)
    }

    /// The last entry, if there is one yet.
    pub(crate) fn head(&self) -> Option<Txid> {
        let read = async {
            let manifest = ebbtide_catalog::read_manifest(&*self.store).await.unwrap()?;
            ebbtide_catalog::head(&*self.store, &manifest).await.unwrap()
        };
        self.runtime.block_on(read).map(|head| head.state.txid())
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let read = async {
            let Some(manifest) = ebbtide_catalog::read_manifest(&*self.store).await.unwrap() else {
                return Vec::new();
            };
            let mut entries = Vec::new();
            for object in ebbtide_catalog::list(&*self.store).await.unwrap().log {
                let fetched =
                    ebbtide_catalog::read_index(&*self.store, &manifest, object).await.unwrap();
                entries.extend_from_slice(fetched.index.entries());
            }
            entries
        };
        self.runtime.block_on(read)
    }

    /// How many deltas a restore uses.
    pub(crate) fn planned_deltas(&self, target: Target) -> usize {
        let planned = async {
            let mut survey = Survey::recent(Arc::clone(&self.store), Arc::default()).await.unwrap();
            survey.plan(target, Timestamp::MAX).await.unwrap().deltas.len()
        };
        self.runtime.block_on(planned)
    }

    /// What the entries are.
    pub(crate) fn counts(&self) -> Counts {
        Counts::of(&self.entries())
    }

    /// Restores into a file of its own and looks at it; the txid that it is of.
    pub(crate) fn restore(&self, target: Target, directory: &Path) -> (Txid, Image) {
        let output = directory.join("restored.db");
        let txid = self.restore_into(target, &output);
        let image = Image::of_file(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        (txid, image)
    }

    /// Restores into `output`; the txid that it is of.
    pub(crate) fn restore_into(&self, target: Target, output: &Path) -> Txid {
        let (output, now) = (output.to_owned(), Timestamp::MAX);
        let options = Options::new(target, output, now);
        let progress = Arc::new(Progress::default());
        let restored = ebbtide_restore::restore(Arc::clone(&self.store), &options, &progress);
        self.runtime.block_on(restored).unwrap().outline.point.state.txid()
    }

    /// Its end is what the database is now, byte for byte.
    #[track_caller]
    pub(crate) fn assert_ends_with(&self, database: &Path, directory: &Path) {
        let expected = image(database);
        assert_eq!(self.restore(Target::Latest, directory).1, expected);
    }

    /// Every state that the history has, with the entry that led to it.
    pub(crate) fn states(&self, directory: &Path) -> Vec<(Entry, Image)> {
        self.states_as(directory, |output| Image::of_file(output).unwrap())
    }

    /// The same, with what `look` makes of each restored file. Each lies in a directory of its own, so that nothing that
    /// belongs to another file of the same name is taken for a part of it.
    pub(crate) fn states_as<T: Send>(
        &self,
        directory: &Path,
        look: impl Fn(&Path) -> T + Sync,
    ) -> Vec<(Entry, T)> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.kind != EntryKind::Claim);
        let found = Mutex::new(Vec::new());
        for_each_at_once(entries.iter(), 1, |entry| {
            let seen = self.state_as(entry, directory, &look);
            found.lock().unwrap().push((entry.clone(), seen));
        });
        let mut found = found.into_inner().unwrap();
        found.sort_by_key(|(entry, _)| entry.txid);
        found
    }

    fn state_as<T>(&self, entry: &Entry, directory: &Path, look: impl Fn(&Path) -> T) -> T {
        let own = directory.join(entry.txid.to_string());
        std::fs::create_dir(&own).unwrap();
        let permit = self.runtime.block_on(RESTORES.acquire()).unwrap();
        let output = own.join("restored.db");
        let txid = self.restore_into(Target::Txid(entry.txid), &output);
        assert_eq!(txid, entry.txid);
        let seen = look(&output);
        drop(permit);
        std::fs::remove_dir_all(&own).unwrap();
        seen
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// How many entries of a history are what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Transactions that are entries of their own.
    pub(crate) commits: usize,
    /// Entries that stand for commits which nobody saw.
    pub(crate) gaps: usize,
    /// Entries that lead to a state older than what the replica had.
    pub(crate) forks: usize,
}

impl Counts {
    pub(crate) fn of(entries: &[Entry]) -> Counts {
        let count = |is: fn(&&Entry) -> bool| entries.iter().filter(is).count();
        Counts {
            commits: count(|entry| entry.kind == EntryKind::Commit),
            gaps: count(|entry| ebbtide_catalog::missed_since(entry).is_some()),
            forks: count(|entry| entry.flags.contains(EntryFlags::FORK)),
        }
    }

    /// Each commit is an entry of its own, and none is left out.
    pub(crate) const fn commits(commits: usize) -> Counts {
        Counts { commits, gaps: 0, forks: 0 }
    }
}
