//! The databases of a process: added, removed, and ended together.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebbtide_config::Database;
use ebbtide_count::Counter;
use ebbtide_replica::Txid;
use ebbtide_seal::Wrap;
use ebbtide_store::{Location, Pace, RequestDurations, real_path};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::drills::{DrillJob, Drills};
use crate::follow::{Consent, FollowError, Job, Mirroring, Order, Pruning, Shared, Status, follow};
use crate::hooks::Hooks;
use crate::owner;

/// The longest name of a file on the file systems of Linux and of others.
const NAME_BYTES_MAX: usize = 255;

/// How long tasks that are ended where they are may take for that.
const ABORT_MAX: Duration = Duration::from_secs(1);

/// Databases that are followed side by side, each by a task of its own. It needs a Tokio runtime of several threads, because
/// SQLite and files block.
///
/// When it is dropped, the tasks end where they are: what is not durable by then is read from the log at the next start.
/// [`Sidecar::stop`] ends them with a last sync.
#[derive(Debug)]
pub struct Sidecar {
    shared: Shared,
    tasks: JoinSet<Result<(), FollowError>>,
    databases: Arc<Mutex<Entries>>,
    drills: Drills,
    /// How many were not followed any more because of an error.
    stopped: Arc<Counter>,
    /// Whether all databases that are named one by one were added.
    begun: Arc<AtomicBool>,
}

/// All of them, in the order in which they were added, and found by what two must not share.
#[derive(Debug, Default)]
struct Entries {
    next: u64,
    all: BTreeMap<u64, Entry>,
    by_path: HashMap<PathBuf, u64>,
    by_place: HashMap<PathBuf, u64>,
    by_task: HashMap<Id, u64>,
    /// Those that are not followed, and whose status is shown all the same.
    shown: BTreeMap<PathBuf, Status>,
}

/// One of the databases.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    status: Status,
    /// Where its replica and its mirrors are, however the addresses are written.
    places: Vec<PathBuf>,
    order: watch::Sender<Order>,
}

/// How a database is followed, besides what its configuration says.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// What is refused at its first start unless it is meant.
    pub consent: Consent,
    /// Bring its replica up to what is committed now, and end.
    pub is_once: bool,
    /// While another process follows it, wait for that one to end.
    pub is_successor: bool,
    /// Wait for the database if it is not there yet.
    pub may_come: bool,
    /// What wraps the keys of its replica for those who may have them: then the replica is encrypted. Without it, it is in
    /// plain text. The keys are in the memory of this process, which should leave no core dumps.
    pub wrap: Option<Arc<dyn Wrap>>,
}

/// Why a database was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// It is followed already.
    #[error("{} is followed already", .0.display())]
    Twice(PathBuf),
    /// Another one goes into its replica. Both would be this process's own there, so that neither would be refused.
    #[error("{} goes into {replica} already, and a replica has one database", .other.display())]
    SharedReplica {
        /// The replica, as the address was given.
        replica: String,
        /// The database that has it.
        other: PathBuf,
    },
    /// It is another name of a file that is followed.
    #[error("{} is the same file as {}, which is followed already", .database.display(), .other.display())]
    SameFile {
        /// The database.
        database: PathBuf,
        /// The name by which it is followed.
        other: PathBuf,
    },
    /// The directory of its local state would have a longer name than file systems take.
    #[error("the local state of {} would lie in {}, and a name has at most {NAME_BYTES_MAX} bytes: say with `state` in a configuration where it lies", .database.display(), .state.display())]
    LongName {
        /// The database.
        database: PathBuf,
        /// The directory.
        state: PathBuf,
    },
    /// The recipients that it is configured with cannot be used.
    #[error("{}: {why}", .database.display())]
    Recipients {
        /// The database.
        database: PathBuf,
        /// Why not.
        why: String,
    },
    /// Its replica or a mirror lies in its local state, which goes with the database's disk, and in which nothing of others is
    /// left alone.
    #[error("{replica} lies in {}, the local state of the database: give the replica a place of its own", .state.display())]
    InState {
        /// The replica, as the address was given.
        replica: String,
        /// The directory.
        state: PathBuf,
    },
}

/// How the following of a database ended.
#[derive(Debug)]
pub struct Ended {
    /// The database.
    pub status: Status,
    /// Whether everything that was committed is durable.
    pub result: Result<(), FollowError>,
}

/// A handle to a database that is followed.
#[derive(Debug, Clone)]
pub struct Followed {
    status: Status,
}

impl Sidecar {
    /// Without databases.
    #[must_use]
    pub fn new(hooks: Hooks) -> Sidecar {
        Sidecar {
            drills: Drills::new(hooks.drill_check.clone()),
            shared: Shared::new(owner::this_process(), hooks),
            tasks: JoinSet::new(),
            databases: Arc::default(),
            stopped: Arc::default(),
            begun: Arc::default(),
        }
    }

    /// Begins to follow a database.
    ///
    /// # Errors
    /// When it is followed here already, another one goes into its replica, or its local state cannot lie where it would, or
    /// has the replica in it. Whatever else is wrong is told by
    /// [`Sidecar::next_ended`], and by the status.
    pub fn add(&mut self, database: Database, how: How) -> Result<Followed, AddError> {
        let places = check(&database)?;
        let wrap = self.wrap(&database, &how)?;
        let replica = database.location.to_string();
        let (path, state) = (absolute(&database.path), database.state_directory());
        let Shared { durations, pace, .. } = &self.shared;
        let status = Status::new(database.path.clone(), replica.clone(), durations, pace);
        let entries = Arc::clone(&self.databases);
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.by_path.contains_key(&path) {
            return Err(AddError::Twice(database.path));
        }
        if let Some(other) = places.iter().find_map(|place| entries.at_place(place)) {
            return Err(AddError::SharedReplica { replica, other: other.path.clone() });
        }
        status.keep_state_in(state.clone());
        if let Some(plan) = database.drills.clone().filter(|_| !how.is_once) {
            let (status, location) = (status.clone(), database.location.clone());
            self.drills.add(DrillJob { status, location, state, plan });
        }
        let (order, orders) = watch::channel(if how.is_once { Order::Finish } else { Order::Run });
        let job = Job {
            database,
            wrap,
            shared: self.shared.clone(),
            consent: how.consent,
            is_once: how.is_once,
            order: orders,
            status: status.clone(),
            is_successor: how.is_successor,
            may_come: how.may_come,
        };
        let over = status.until_over();
        let pruning = if how.is_once {
            None
        } else {
            Some(Pruning::begin(&job.database, &job.shared, &job.status))
        };
        status.set_mirrors(job.database.mirrors.iter().map(ToString::to_string));
        let mirrored = job.clone();
        let mirroring = if how.is_once {
            None
        } else {
            Some(Mirroring::begin(&job.database, &job.shared, &job.status))
        };
        let task = self.tasks.spawn(async move {
            let ended = follow(job).await;
            if mirrored.is_once && ended.is_ok() {
                let Job { database, shared, status, .. } = mirrored;
                Mirroring::once(&database, &shared, &status).await;
            }
            drop((pruning, mirroring));
            drop(over);
            ended
        });
        entries.insert(task.id(), Entry { path, status: status.clone(), places, order });
        Ok(Followed { status })
    }

    /// What wraps the keys of its replica, if that is encrypted.
    fn wrap(&self, database: &Database, how: &How) -> Result<Option<Arc<dyn Wrap>>, AddError> {
        match (&how.wrap, self.shared.hooks.recipients) {
            (Some(wrap), _) => Ok(Some(Arc::clone(wrap))),
            (None, Some(recipients)) => recipients(database)
                .map_err(|why| AddError::Recipients { database: database.path.clone(), why }),
            (None, None) => Ok(None),
        }
    }

    /// Has a database followed no more once everything that is committed now is durable; [`Sidecar::next_ended`] says when.
    /// Whether it was followed.
    pub fn remove(&self, database: &Path) -> bool {
        self.order(database, Order::Finish)
    }

    /// The same for one whose file is gone: what was committed in it last is shipped, as far as it is known.
    pub(crate) fn let_go(&self, database: &Path) -> bool {
        self.order(database, Order::LetGo)
    }

    fn order(&self, database: &Path, order: Order) -> bool {
        let entries = self.entries();
        let found = entries.at_path(&absolute(database));
        if let Some(entry) = found {
            entry.order.send_replace(order);
        }
        found.is_some()
    }

    /// The same as [`Sidecar::remove`] for all of them.
    pub fn finish(&self) {
        for entry in self.entries().all.values() {
            entry.order.send_if_modified(|order| {
                let runs = *order == Order::Run;
                if runs {
                    *order = Order::Finish;
                }
                runs
            });
        }
    }

    /// Has the status of a database shown that is not followed.
    pub(crate) fn show(&self, status: &Status) {
        let path = status.noted(|noted| noted.database.clone());
        self.entries().shown.insert(path, status.clone());
    }

    /// The status of a database is not shown any more, unless it is followed.
    pub(crate) fn hide(&self, database: &Path) {
        self.entries().shown.remove(database);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next database whose following ends, be it by an error, or because it was removed; nothing if none is
    /// followed any more. May be dropped and called again.
    pub async fn next_ended(&mut self) -> Option<Ended> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(ended_unexpectedly(&error))),
        };
        if result.is_err() {
            self.stopped.add(1);
        }
        let status = self.entries().remove(id)?.status;
        Some(Ended { status, result })
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.shared.hooks
    }

    /// Whether no database is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The progress of every database that is followed now.
    #[must_use]
    pub fn statuses(&self) -> Statuses {
        Statuses(Arc::clone(&self.databases))
    }

    /// Whether all databases that are named one by one were added; whoever adds them says so.
    pub(crate) fn begun(&self) -> &Arc<AtomicBool> {
        &self.begun
    }

    /// How many databases are not followed any more because of an error.
    pub(crate) fn stopped(&self) -> &Arc<Counter> {
        &self.stopped
    }

    /// How fast objects are sent.
    pub(crate) fn pace(&self) -> &Arc<Pace> {
        &self.shared.pace
    }

    /// How long requests to stores took.
    pub(crate) fn durations(&self) -> &Arc<RequestDurations> {
        &self.shared.durations
    }

    /// Ends everything with a last sync, for which there is so much time. How each ended that did not end before; those that
    /// were not done in time are not among them.
    pub async fn stop(mut self, timeout: Duration) -> Vec<Ended> {
        self.drills.stop();
        self.finish();
        let mut all = Vec::new();
        let everything = async {
            while let Some(ended) = self.next_ended().await {
                all.push(ended);
            }
        };
        if tokio::time::timeout(timeout, everything).await.is_err() {
            self.abort().await;
        }
        all
    }

    /// Ends everything where it is. A task that is blocked, because a file does not answer, is left behind.
    pub async fn abort(&mut self) {
        self.drills.stop();
        if tokio::time::timeout(ABORT_MAX, self.tasks.shutdown()).await.is_err() {
            tracing::warn!("a database does not let go of its files; ending without it");
        }
    }
}

/// The databases that are followed, for whoever answers questions about them.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Mutex<Entries>>);

impl Statuses {
    /// Where the local state of a database is that is followed.
    #[must_use]
    pub fn state_of(&self, database: &Path) -> Option<PathBuf> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match entries.at_path(database) {
            Some(entry) => &entry.status,
            None => entries.shown.get(database)?,
        };
        status.state_directory()
    }

    /// Those of now.
    #[must_use]
    pub fn now(&self) -> Vec<Status> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = entries.all.values().map(|entry| &entry.status);
        let is_shown = |(path, _): &(&PathBuf, _)| !entries.by_path.contains_key(*path);
        let shown = entries.shown.iter().filter(is_shown).map(|(_, status)| status);
        followed.chain(shown).cloned().collect()
    }

    /// The same without those that were let go.
    #[must_use]
    pub fn present(&self) -> Vec<Status> {
        self.now().into_iter().filter(|status| !status.has_ended()).collect()
    }
}

impl Followed {
    /// What is known of it.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Waits until everything that is committed now is durable; up to which entry of the replica that is.
    ///
    /// # Errors
    /// With the reason, when it is not followed any more. As long as a store is away this waits.
    pub async fn durable(&self) -> Result<Option<Txid>, String> {
        self.status.until_met(self.status.ask()).await
    }

    /// Waits until it is followed: its replica is known and up to date with what was committed at the start.
    ///
    /// # Errors
    /// With the reason, when it is not followed any more.
    pub async fn following(&self) -> Result<(), String> {
        self.status.until_following().await
    }
}

impl Entries {
    fn insert(&mut self, task: Id, entry: Entry) {
        let at = self.next;
        self.next += 1;
        self.by_path.insert(entry.path.clone(), at);
        self.by_place.extend(entry.places.iter().map(|place| (place.clone(), at)));
        self.by_task.insert(task, at);
        self.all.insert(at, entry);
    }

    fn remove(&mut self, task: Id) -> Option<Entry> {
        let entry = self.all.remove(&self.by_task.remove(&task)?)?;
        self.by_path.remove(&entry.path);
        for place in &entry.places {
            self.by_place.remove(place);
        }
        Some(entry)
    }

    fn at_path(&self, path: &Path) -> Option<&Entry> {
        self.all.get(self.by_path.get(path)?)
    }

    fn at_place(&self, place: &Path) -> Option<&Entry> {
        self.all.get(self.by_place.get(place)?)
    }
}

/// The path as it was given, from the root on; two names of one file find each other by their local state.
pub(crate) fn absolute(database: &Path) -> PathBuf {
    std::path::absolute(database).unwrap_or_else(|_| database.to_path_buf())
}

/// Where the replica of a database and its mirrors are, none of which may lie in its local state.
pub(crate) fn check(database: &Database) -> Result<Vec<PathBuf>, AddError> {
    let locations = std::iter::once(&database.location).chain(&database.mirrors);
    let state = database.state_directory();
    if state.file_name().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(AddError::LongName { database: database.path.clone(), state });
    }
    let real_state = real_path(&state);
    if let Some(inside) = locations.clone().find(|it| it.place().starts_with(&real_state)) {
        return Err(AddError::InState { replica: inside.to_string(), state });
    }
    Ok(locations.map(Location::place).collect())
}

fn ended_unexpectedly(error: &JoinError) -> FollowError {
    FollowError::Panicked(error.to_string())
}
