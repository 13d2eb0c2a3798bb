//! Drills of the databases that are followed: restores that are tried, one at a time, beside everything else.
//!
//! They run on a thread of their own with a runtime of its own, so that nothing that a drill waits for or computes keeps a
//! commit from being shipped, and fetch no more bytes in a second than an application can spare. What became of them lies
//! in the local state, where the status and other processes read it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ebbtide_config::Drills as Plan;
use ebbtide_replica::Timestamp;
use ebbtide_restore::{Check, Drill, DrillRecord, Drilled, Error, arbitrary};
use ebbtide_restore::{drill, remove_drill_files};
use ebbtide_store::{Location, error_chain};
use tokio::sync::watch;

use crate::clock;
use crate::follow::{Phase, Status, with_index_keys};

/// So much a drill fetches in a second at most.
const BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;

/// What cannot be tried now, because the store is away or the database is not followed, is tried again after this.
const RETRY: Duration = Duration::from_secs(600);

/// No drill begins sooner after the start of the process, unless they are due more often.
const START: Duration = Duration::from_secs(60);

/// First drills are spread over so long, unless they are due more often.
const SPREAD: Duration = Duration::from_secs(3600);

/// At least so often what is due is looked for, because databases come and go.
const LOOK: Duration = Duration::from_secs(30);

/// How many threads a drill has for what blocks.
const BLOCKING_THREADS: usize = 4;

/// How long the thread may take to end. What it has begun on a disk goes on without it.
const END_MAX: Duration = Duration::from_secs(1);

/// A database that is drilled.
#[derive(Debug)]
pub(crate) struct DrillJob {
    pub(crate) status: Status,
    pub(crate) location: Location,
    /// The directory of its local state.
    pub(crate) state: PathBuf,
    pub(crate) plan: Plan,
}

type Jobs = Arc<Mutex<Vec<Arc<DrillJob>>>>;

/// The drills of a process. When this is dropped, the one that is under way is given up.
#[derive(Debug)]
pub(crate) struct Drills {
    jobs: Jobs,
    check: Option<Check>,
    running: Option<DrillThread>,
}

/// The thread. It ends when the sender is dropped, and drops the other one then.
#[derive(Debug)]
struct DrillThread {
    stop: watch::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Drills {
    /// `check` is made of each file that is restored.
    pub(crate) fn new(check: Option<Check>) -> Drills {
        Drills { jobs: Jobs::default(), check, running: None }
    }

    /// From now on this database is drilled, for as long as it is followed.
    pub(crate) fn add(&mut self, job: DrillJob) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(job));
        if self.running.is_none() {
            match begin(Arc::clone(&self.jobs), self.check.clone()) {
                Ok(running) => self.running = Some(running),
                Err(error) => tracing::error!(%error, "no drills: there is no thread for them"),
            }
        }
    }

    /// Gives up what is under way.
    pub(crate) fn stop(&mut self) {
        let Some(DrillThread { stop, ended }) = self.running.take() else { return };
        drop(stop);
        if ended.recv_timeout(END_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("a drill does not let go of its files; ending without it");
        }
    }
}

impl Drop for Drills {
    fn drop(&mut self) {
        self.stop();
    }
}

fn begin(jobs: Jobs, check: Option<Check>) -> io::Result<DrillThread> {
    let (stop, mut stopped) = watch::channel(());
    let (end, ended) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    thread::Builder::new().name("drills".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = stopped.changed() => {}
                () = run(&jobs, check.as_ref()) => {}
            }
        });
        runtime.shutdown_background();
        drop(end);
    })?;
    Ok(DrillThread { stop, ended })
}

/// Drills for ever.
async fn run(jobs: &Jobs, check: Option<&Check>) {
    let began = clock::now();
    let mut postponed: HashMap<PathBuf, Timestamp> = HashMap::new();
    loop {
        let now = clock::now();
        let mut next: Option<(Timestamp, Arc<DrillJob>)> = None;
        for job in followed(jobs) {
            let later = postponed.entry(job.state.clone()).or_insert_with(|| {
                // What an earlier process has left behind when it was killed.
                job.plan.directory.as_deref().into_iter().for_each(clean);
                Timestamp::MIN
            });
            let due = job.due(began).max(*later);
            if next.as_ref().is_none_or(|(first, _)| due < *first) {
                next = Some((due, job));
            }
        }
        let Some((due, job)) = next else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        if due > now {
            let micros = due.as_micros().saturating_sub(now.as_micros()).unsigned_abs();
            tokio::time::sleep(LOOK.min(Duration::from_micros(micros))).await;
            continue;
        }
        let again = match job.status.noted(|noted| noted.phase) == Phase::Following {
            true => job.drill(check).await,
            false => RETRY.min(job.plan.interval),
        };
        postponed.insert(job.state.clone(), after(clock::now(), again));
    }
}

/// The databases that are not given up.
fn followed(jobs: &Jobs) -> Vec<Arc<DrillJob>> {
    let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.retain(|job| {
        !matches!(job.status.noted(|noted| noted.phase), Phase::Stopped | Phase::Ended)
    });
    jobs.clone()
}

fn clean(directory: &Path) {
    if let Err(error) = remove_drill_files(directory) {
        tracing::warn!(error = error_chain(&error), "cannot remove what a drill has left behind");
    }
}

impl DrillJob {
    fn due(&self, began: Timestamp) -> Timestamp {
        let last = DrillRecord::read(&self.state).and_then(|record| record.last());
        due(began, last, self.plan.interval, &self.location.to_string())
    }

    /// Drills the database, and notes what came of it. After how long it is tried again at the soonest.
    async fn drill(&self, check: Option<&Check>) -> Duration {
        let (begun, database) = (Instant::now(), self.status.noted(|noted| noted.database.clone()));
        let (result, remark) = self.restore(check).await;
        let now = clock::now();
        let before = || DrillRecord::read(&self.state).unwrap_or_default();
        let record = match result {
            Ok(drilled) => {
                let txid = drilled.newest.point.txid;
                let seconds = begun.elapsed().as_secs_f64();
                tracing::info!(database = %database.display(), %txid, seconds, "a drill has restored the replica");
                DrillRecord::after(&drilled, now, begun.elapsed(), remark.as_deref())
            }
            // The store's trouble is told where it is met by the shipping.
            Err(Error::Store(error)) if !error.is_permanent() => {
                tracing::warn!(database = %database.display(), %error, "a drill is put off");
                return RETRY.min(self.plan.interval);
            }
            Err(error) => before().failed(now, error_chain(&error)),
        };
        if let Some(failed) = &record.failed {
            tracing::error!(database = %database.display(), error = failed.error, "a drill has failed");
        }
        if let Err(error) = record.write(&self.state) {
            tracing::error!(database = %database.display(), error = error_chain(&error), "a drill is not noted");
        }
        self.plan.interval
    }

    /// The drill itself, and what else is to be said of it: without room for a file the pages are hashed.
    async fn restore(&self, check: Option<&Check>) -> (Result<Drilled, Error>, Option<String>) {
        let store = match self.location.open().await {
            Ok(store) => self.status.metered(with_index_keys(&self.state, store)),
            Err(error) => return (Err(error.into()), None),
        };
        let now = clock::now();
        let known = ebbtide_state::peek(&self.state).ok().flatten();
        let mut what = Drill {
            directory: self.plan.directory.clone(),
            check: check.cloned(),
            bytes_per_second: Some(BYTES_PER_SECOND),
            random: arbitrary(&self.location.to_string(), now),
            durable: known.map(|position| (position.replica, position.state)),
            now,
        };
        let result = drill(Arc::clone(&store), &what, &Arc::default()).await;
        match result {
            Err(Error::Refused { path, why }) if what.directory.is_some() => {
                what.directory = None;
                let remark = format!("no file in {}: {why}", path.display());
                (drill(store, &what, &Arc::default()).await, Some(remark))
            }
            result => (result, None),
        }
    }
}

/// When a database is due, of a process that began at `began`: an interval after its last drill. First ones are spread by
/// the name of the replica, and none comes right after a start.
fn due(began: Timestamp, last: Option<Timestamp>, interval: Duration, replica: &str) -> Timestamp {
    let mut hasher = DefaultHasher::new();
    replica.hash(&mut hasher);
    let spread = interval.min(SPREAD).as_millis().max(1);
    let spread = u64::try_from(u128::from(hasher.finish()) % spread).unwrap_or_default();
    let earliest = after(began, interval.min(START).saturating_add(Duration::from_millis(spread)));
    last.map_or(earliest, |last| after(last, interval).max(earliest))
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::clamped(time.as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn drills_are_spread_and_none_comes_at_the_start() {
        let began = at(1_000_000);
        let due = |last, number: u32| due(began, last, DAY, &format!("/backup/{number}"));
        let first: Vec<Timestamp> = (0..100).map(|number| due(None, number)).collect();
        let (earliest, latest) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert!(*earliest >= at(1_000_060) && *latest < at(1_000_060 + 3600));
        assert!(latest.as_micros() - earliest.as_micros() > 1_800_000_000, "they are spread");
        assert_eq!(due(None, 7), due(None, 7));
        // One that was drilled lately is drilled a day later, wherever it is restarted meanwhile.
        assert_eq!(due(Some(at(999_000)), 7), at(999_000 + 86_400));
        // One that is overdue is not drilled at once.
        assert_eq!(due(Some(at(0)), 7), due(None, 7));
    }

    #[test]
    fn a_short_interval_is_spread_over_itself() {
        let second = due(at(0), None, Duration::from_secs(1), "/backup/app");
        assert!(second >= at(1) && second < at(2), "{second}");
    }
}
