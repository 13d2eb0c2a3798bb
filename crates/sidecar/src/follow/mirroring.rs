//! Keeps the mirrors of a database up to date from what is durable in its replica, each by a task of its own: a mirror that
//! is away has retries of its own, and neither the replica nor another mirror waits for it.
//!
//! At first, then once an hour, and after each snapshot the whole replica is compared by its names, which also brings
//! packs, marks and horizons; in between each segment is copied by its name, which costs no listing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_config::Database;
use ebbtide_copy::{CopyError, Mirror, Options};
use ebbtide_replica::{Key, Point, Txid};
use ebbtide_retention::{Deleted, PruneError, sweep};
use ebbtide_state::StateError;
use ebbtide_store::{Location, Store, StoreError, error_chain};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::begun_mirrors::{note, was_begun};
use super::keyed::{open_store, with_keys};
use super::mirror_progress::MirrorProgress;
use super::shared::Shared;
use super::status::Status;
use crate::clock;

/// What comes within this goes together.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait between two attempts, while it fails.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often the whole replica is compared by its names.
const WHOLE: Duration = Duration::from_secs(3600);

/// Nobody may have said that something is durable.
const LOOK: Duration = Duration::from_secs(5);

/// How many objects are held in memory while the whole replica is copied.
const OBJECTS_AHEAD: usize = 1;

/// The mirrors of one database. Their tasks end where they are when this is dropped: the next start goes on there.
#[derive(Debug)]
pub(crate) struct Mirroring(Vec<JoinHandle<()>>);

/// Why a mirror is not up to date.
#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it is up to date, and nothing is deleted in it")]
    Sweep(#[from] PruneError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "it is gone: is its disk mounted? Nothing is begun in its place; `ebbtide copy REPLICA MIRROR` makes another"
    )]
    Gone,
    #[error("the end of the replica cannot be read")]
    NoEnd,
}

impl Mirroring {
    /// Begins to keep the mirrors up to date, once something is durable.
    pub(crate) fn begin(database: &Database, shared: &Shared, status: &Status) -> Mirroring {
        let task = |at| tokio::spawn(Task::new(database, shared, status, at).run());
        Mirroring((0..database.mirrors.len()).map(task).collect())
    }

    /// Brings each mirror up to date once.
    pub(crate) async fn once(database: &Database, shared: &Shared, status: &Status) {
        for at in 0..database.mirrors.len() {
            let mut task = Task::new(database, shared, status, at);
            let Some(head) = status.noted(|noted| noted.durable) else { return };
            let ended = task.pass(head.txid).await;
            task.tell(ended, head.txid);
        }
    }
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// One mirror.
struct Task {
    database: Database,
    location: Location,
    shared: Shared,
    status: Status,
    /// Which of the mirrors it is.
    at: usize,
    mirror: Option<Mirror>,
    /// When the whole replica was compared, and what the newest snapshot was then.
    whole: Option<(Instant, Option<Point>)>,
}

impl Task {
    fn new(database: &Database, shared: &Shared, status: &Status, at: usize) -> Task {
        Task {
            location: database.mirrors[at].clone(),
            database: database.clone(),
            shared: shared.clone(),
            status: status.clone(),
            at,
            mirror: None,
            whole: None,
        }
    }

    async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            sleep(pause).await;
            let Some(head) = self.due() else {
                self.status.changed(LOOK).await;
                continue;
            };
            let ended = self.pass(head).await;
            pause = if ended.is_ok() { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            self.tell(ended, head);
        }
    }

    /// Up to which entry there is something to copy, or to look at.
    fn due(&self) -> Option<Txid> {
        let (head, snapshot) = self.status.noted(|noted| (noted.durable, noted.snapshot));
        let head = head?.txid;
        let is_behind = self.last().is_none_or(|last| last < head);
        (is_behind || self.is_whole_due(snapshot)).then_some(head)
    }

    fn last(&self) -> Option<Txid> {
        self.mirror.as_ref().and_then(Mirror::last)
    }

    fn is_whole_due(&self, snapshot: Option<Point>) -> bool {
        self.whole.is_none_or(|(when, then)| when.elapsed() >= WHOLE || then != snapshot)
    }

    /// Copies what is durable by now, up to `head`.
    async fn pass(&mut self, head: Txid) -> Result<(), MirrorError> {
        let snapshot = self.status.noted(|noted| noted.snapshot);
        self.change(|progress| {
            progress.behind_since.get_or_insert_with(clock::now);
        });
        let begun = clock::now();
        let result = self.copy(head, snapshot).await;
        if result.is_err() {
            // What it holds may be what fails.
            self.mirror = None;
            return result;
        }
        let newest = self.status.noted(|noted| noted.durable.map(|durable| durable.txid));
        let (last, is_behind) = (self.last(), newest > self.last());
        self.change(|progress| {
            progress.durable = last;
            progress.behind_since = is_behind.then_some(begun);
        });
        result
    }

    async fn copy(&mut self, head: Txid, snapshot: Option<Point>) -> Result<(), MirrorError> {
        if !self.is_whole_due(snapshot)
            && let Some(mirror) = &mut self.mirror
            && mirror.advance(head).await?
        {
            return Ok(());
        }
        let from = self.status.metered(open_store(&self.database).await?);
        let to = self.status.metered(with_keys(&self.database, self.location.open().await?));
        // Whoever does not answer does not keep the others waiting for their turn.
        let is_there = to.size(&Key::Manifest).await?.is_some();
        let state = self.database.state_directory();
        if !is_there && was_begun(&state, &self.location)? {
            return Err(MirrorError::Gone);
        }
        let turn = self.shared.mirror_turn().await;
        let options = Options { objects_ahead: OBJECTS_AHEAD, ..Options::default() };
        let (mirror, copied) = Mirror::begin(Arc::clone(&from), Arc::clone(&to), options).await?;
        drop(turn);
        note(&state, &self.location)?;
        self.mirror = mirror;
        self.change(|progress| progress.damaged_objects = copied.damaged.len() as u64);
        if self.mirror.is_none() {
            return Err(MirrorError::NoEnd);
        }
        self.sweep(to, &*from).await?;
        self.whole = Some((Instant::now(), snapshot));
        Ok(())
    }

    /// Deletes what is in packs, and what the horizons that were copied have condemned.
    async fn sweep(&self, to: Arc<dyn Store>, from: &dyn Store) -> Result<(), MirrorError> {
        let deleted = match sweep(to, from).await {
            // Another process keeps it up to date, too.
            Err(PruneError::Overtaken) => return Ok(()),
            deleted => deleted?,
        };
        let count = |of: fn(&Deleted) -> u64| deleted.iter().map(of).sum::<u64>();
        let (objects, retained) = (count(|it| it.objects), count(|it| it.retained.len() as u64));
        self.change(|progress| {
            progress.deleted_objects += objects;
            progress.retained_objects = retained;
        });
        Ok(())
    }

    fn tell(&self, ended: Result<(), MirrorError>, head: Txid) {
        let (database, mirror) = (self.database.path.display(), &self.location);
        match ended {
            Ok(()) => {
                tracing::debug!(%database, %mirror, %head, "the mirror is up to date");
                self.change(|progress| progress.trouble = None);
            }
            Err(error) => {
                let error = error_chain(&error);
                let mut is_news = true;
                self.change(|progress| {
                    let before = progress.trouble.take();
                    is_news = before.as_ref().is_none_or(|(_, said)| *said != error);
                    let since = before.map_or_else(clock::now, |(since, _)| since);
                    progress.trouble = Some((since, error.clone()));
                });
                if is_news {
                    tracing::warn!(%database, %mirror, %error, "the mirror is not up to date");
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut MirrorProgress)) {
        self.status.change_mirror(self.at, change);
    }
}
