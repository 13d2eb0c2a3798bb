//! A replica that is read.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ebbtide_moment::{Options as Reading, Proof, Replica as Inner};
use ebbtide_replica::{Point, ReplicaId};
use ebbtide_restore::{Options, Progress, restore};
use ebbtide_store::{Location, Store};
use ebbtide_trace::{Found, Question, Searched, Trace};

use crate::clock;
use crate::entries::{HistoryEntry, entries};
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::moment::Moment;
use crate::when::When;

/// A replica that is read. Clones are the same, and all its moments share a cache of 64 MiB.
#[derive(Debug, Clone)]
pub struct Replica {
    inner: Inner,
    store: Arc<dyn Store>,
}

/// A database that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The state that it is.
    pub point: Point,
    /// How many bytes were fetched for it.
    pub bytes_fetched: u64,
}

impl Replica {
    /// Opens the replica at this address: a directory, or `s3://BUCKET/PREFIX` with the keys that `docs/stores.md` has.
    ///
    /// # Errors
    /// When it is no address, nothing lies there, or it cannot be reached.
    pub async fn open(address: &str) -> Result<Replica> {
        Replica::of(address.parse::<Location>()?.open().await?).await
    }

    /// The same of an encrypted replica.
    ///
    /// # Errors
    /// As [`Replica::open`]; that the identity does not open it is said by what needs a key.
    pub async fn open_as(address: &str, identity: Identity) -> Result<Replica> {
        Replica::of(identity.with(address.parse::<Location>()?.open().await?)).await
    }

    /// Opens the replica that lies in a store.
    ///
    /// # Errors
    /// When nothing lies there, or it cannot be reached.
    pub async fn of(store: Arc<dyn Store>) -> Result<Replica> {
        let inner = Inner::open(Arc::clone(&store), Reading::default()).await?;
        Ok(Replica { inner, store })
    }

    /// The same of an encrypted replica.
    ///
    /// # Errors
    /// As [`Replica::open_as`].
    pub async fn of_as(store: Arc<dyn Store>, identity: Identity) -> Result<Replica> {
        Replica::of(identity.with(store)).await
    }

    /// By which the replica is known.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.inner.manifest().replica
    }

    /// The database at a point. What is read of it is read from blocks whose checksums are checked.
    ///
    /// # Errors
    /// When there is no such state, or it cannot be read.
    pub async fn at(&self, when: When) -> Result<Moment> {
        self.at_level(when, Proof::Block).await
    }

    /// The same, and each page that is read is proved against the digest of that state, which is in the history: 16 bytes a
    /// page are read for it at once.
    ///
    /// # Errors
    /// As [`Replica::at`].
    pub async fn at_proved(&self, when: When) -> Result<Moment> {
        self.at_level(when, Proof::Page).await
    }

    async fn at_level(&self, when: When, proof: Proof) -> Result<Moment> {
        let target = when.target().ok_or(Error::BeforeAll)?;
        Ok(Moment::new(self.inner.at(target, clock::now(), proof).await?))
    }

    /// Hands each point of the history to `each`, the oldest first, until that says false.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn entries(&self, each: impl FnMut(HistoryEntry) -> bool) -> Result<()> {
        entries(&mut *self.inner.survey().await, each).await
    }

    /// Makes a database file of a point. It appears under its name only when it is whole and proved.
    ///
    /// # Errors
    /// When there is a file already, or the state cannot be had.
    pub async fn restore(&self, when: When, output: impl AsRef<Path>) -> Result<Restored> {
        let target = when.target().ok_or(Error::BeforeAll)?;
        let options = Options::new(target, output.as_ref().to_path_buf(), clock::now());
        let store = Arc::clone(&self.store);
        let report = restore(store, &options, &Arc::new(Progress::default())).await?;
        let state = report.outline.point.state;
        let point = Point { txid: state.txid(), time: state.time() };
        Ok(Restored { point, bytes_fetched: report.bytes_fetched })
    }

    /// Finds the transactions at which the answer to a query changed, from `newest` back to `oldest` or to the first that
    /// there is, and hands each to `each`, the newest first, until that says false.
    ///
    /// # Errors
    /// When the answer is not decided by the database alone, or a state cannot be read.
    pub async fn changes(
        &self,
        sql: &str,
        oldest: Option<When>,
        newest: When,
        mut each: impl FnMut(&Found) -> bool + Send + 'static,
    ) -> Result<Searched> {
        let (replica, question) = (self.inner.clone(), Question::new(sql));
        let trace = Trace {
            replica,
            question,
            now: clock::now(),
            proof: Proof::Block,
            progress: Arc::default(),
        };
        let target = |when: When| when.target().ok_or(Error::BeforeAll);
        let (oldest, newest) = (oldest.map(target).transpose()?, target(newest)?);
        let run = move || {
            trace.run(oldest, newest, |found| match each(found) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        };
        Ok(tokio::task::spawn_blocking(run).await??)
    }
}
