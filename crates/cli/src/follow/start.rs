//! How a session begins: the log is held, the replica is read, and the one is brought in step with the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebbtide_fault::point;
use ebbtide_replica::state::{FileIdentity, State, WalPosition, state_folder};
use ebbtide_replica::store::Store;
use ebbtide_shipper::{
    Attached, Beginning, Founder, Local, Outage, Rebase, Shipper, Unconfirmed, attach,
};
use ebbtide_wal::{Checksum, Position, Salts};
use ebbtide_watcher::{Follower, Options, Start, Transaction};
use tokio::task::block_in_place;

use super::error::FollowError;
use super::snapshots::{Snapshots, newest};
use super::{Job, Phase};
use crate::clock::now_micros;
use crate::config::defaults;
use crate::terminal;

/// How often the log is looked at while the store keeps us waiting, so that commits get their times.
const LOOK: Duration = Duration::from_millis(5);

/// A first snapshot of fewer bytes is done before a bar could be read.
const BAR_BYTES_MIN: u64 = 64 << 20;

/// How long to wait before the store is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A session that has begun.
pub(crate) struct Started {
    pub(crate) follower: Follower,
    pub(crate) shipper: Shipper,
    pub(crate) snapshots: Snapshots,
}

/// Takes hold of the database, then of the replica, and brings them in step.
pub(crate) async fn start(job: &mut Job) -> Result<Started, FollowError> {
    let path = job.database.path.clone();
    let folder = job.database.state.clone().unwrap_or_else(|| state_folder(&path));
    let state = block_in_place(|| open_state(&folder))?;
    let known = state.as_ref().map(|state| state.position());
    let latest = known.map_or(0, |position| position.time.as_micros());
    let resume = known.and_then(|position| position.wal).and_then(log_position);
    let options = Options { enable_wal: job.database.enable_wal, limits: defaults::LIMITS };
    let (mut follower, began) = block_in_place(|| Follower::open(&path, &options, resume, latest))?;
    let outage = Arc::new(Outage::default());
    job.status.begin(follower.gauge(), Arc::clone(&outage));
    let database = std::fs::metadata(&path).ok().map(|metadata| FileIdentity::of(&metadata));
    let local = Local { state, folder, database, page_size: follower.page_size() };
    let (store, attached) = reach(job, &mut follower, local, outage).await?;
    job.status.set(Phase::CatchingUp);
    let resumed = began == Start::Resumed;
    let mut shipper = match attached {
        Attached::New(founder) => found(job, &mut follower, founder).await?,
        Attached::InStep(shipper) => in_step(job, &mut follower, shipper, resumed).await?,
        Attached::Ahead(shipper, unconfirmed) => {
            ahead(job, &mut follower, shipper, resumed, &unconfirmed).await?
        }
        Attached::Rebuilt(shipper) => in_step(job, &mut follower, shipper, false).await?,
    };
    point("follow.start.in-step");
    shipper.flush()?;
    let newest = newest(&store).await;
    let interval = job.database.snapshot_interval;
    let snapshots = Snapshots::new(interval, newest, now_micros(), job.status.clone());
    Ok(Started { follower, shipper, snapshots })
}

/// The local state of an earlier run, if it proves itself.
fn open_state(folder: &std::path::Path) -> Result<Option<State>, FollowError> {
    let Some(state) = State::open(folder)? else { return Ok(None) };
    if state.verify()? {
        return Ok(Some(state));
    }
    tracing::warn!(folder = %folder.display(), "the local state is not whole; taking it from the replica");
    Ok(None)
}

fn log_position(wal: WalPosition) -> Option<Position> {
    let (s0, s1) = wal.checksum;
    let frame = u32::try_from(wal.frame).ok()?;
    Some(Position { salts: Salts(wal.salts), frame, checksum: Checksum { s0, s1 } })
}

/// A position of the log as the local state keeps it.
pub(crate) fn wal_position(position: Position) -> WalPosition {
    let checksum = (position.checksum.s0, position.checksum.s1);
    WalPosition { salts: position.salts.0, frame: position.frame.into(), checksum }
}

/// Opens the store and reads the replica, for as long as that takes; meanwhile the log is held, and commits are dated.
async fn reach(
    job: &mut Job,
    follower: &mut Follower,
    local: Local,
    outage: Arc<Outage>,
) -> Result<(Arc<dyn Store>, Attached), FollowError> {
    let options = ebbtide_shipper::Options { puts: job.database.puts };
    let mut local = Some(local);
    loop {
        let location = job.database.location.clone();
        let (folder, page_size) =
            (local.as_ref().map(|local| local.folder.clone()), follower.page_size());
        let given = local.take();
        let asked = async {
            let store = location.open().await.map_err(ebbtide_shipper::Error::from)?;
            let given = match (given, folder) {
                (Some(given), _) => given,
                // An attempt that failed has used it up.
                (None, folder) => reopen(folder, &job.database.path, page_size)?,
            };
            let attached = attach(Arc::clone(&store), Arc::clone(&outage), given, &options).await?;
            Ok::<_, FollowError>((store, attached))
        };
        tokio::pin!(asked);
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer,
                () = tokio::time::sleep(LOOK) => { follower.observe(now_micros())?; }
            }
        };
        let error = match answer {
            Ok(reached) => return Ok(reached),
            Err(error) => error,
        };
        if error.is_final(false) || *job.order.borrow() == super::Order::Finish {
            return Err(error);
        }
        job.status.fail(&error);
        tracing::warn!(database = %job.database.path.display(), error = super::error::chain(&error), "the store is away; the log waits");
        let until = tokio::time::Instant::now() + ASK_AGAIN;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            follower.observe(now_micros())?;
        }
    }
}

fn reopen(
    folder: Option<PathBuf>,
    path: &std::path::Path,
    page_size: ebbtide_wal::PageSize,
) -> Result<Local, FollowError> {
    let folder = folder.unwrap_or_else(|| state_folder(path));
    let state = open_state(&folder)?;
    let database = std::fs::metadata(path).ok().map(|metadata| FileIdentity::of(&metadata));
    Ok(Local { state, folder, database, page_size })
}

/// The first snapshot of a new replica.
async fn found(
    job: &Job,
    follower: &mut Follower,
    founder: Founder,
) -> Result<Shipper, FollowError> {
    let mut pin = follower.pin_image()?;
    let time = now_micros();
    follower.skip_to(&mut pin)?;
    let image = match follower.image(pin)? {
        Ok(image) => image,
        Err(_) => {
            return Err(ebbtide_shipper::Error::Mismatch(
                "the image is not of the log's end".to_owned(),
            )
            .into());
        }
    };
    let beginning = Beginning {
        time,
        database_pages: image.database_pages(),
        wal: wal_position(image.position()),
    };
    let options = ebbtide_shipper::Options { puts: job.database.puts };
    let done = Arc::new(AtomicU64::new(0));
    let bytes = u64::from(image.database_pages()) * image.page_size().offset();
    let bar = terminal::bar("snapshot", image.database_pages().into(), bytes < BAR_BYTES_MIN);
    let counted = Arc::clone(&done);
    let pages = move |each: &mut ebbtide_shipper::EachPage<'_, FollowError>| {
        image.for_each_page(|page, image| {
            counted.fetch_add(1, Ordering::Relaxed);
            each(page, image)
        })
    };
    let founding = founder.found(&job.shared.owner, beginning, &options, pages);
    tokio::pin!(founding);
    let founded = loop {
        tokio::select! {
            founded = &mut founding => break founded,
            () = tokio::time::sleep(LOOK) => {
                follower.observe(now_micros())?;
                bar.set_position(done.load(Ordering::Relaxed));
            }
        }
    };
    bar.finish_and_clear();
    founded
}

/// The local state is that of the replica's last entry. If the log proves that nothing is missing, that is all; else the
/// database is compared with it.
async fn in_step(
    job: &Job,
    follower: &mut Follower,
    mut shipper: Shipper,
    resumed: bool,
) -> Result<Shipper, FollowError> {
    shipper.claim(&job.shared.owner, now_micros()).await?;
    if resumed {
        tracing::info!(database = %job.database.path.display(), txid = %shipper.last().txid, "carrying on where the log was left");
        return Ok(shipper);
    }
    block_in_place(|| rebase(job, follower, &mut shipper))?;
    Ok(shipper)
}

/// Sends what differs between the database and its replica, as one entry.
fn rebase(job: &Job, follower: &mut Follower, shipper: &mut Shipper) -> Result<(), FollowError> {
    let mut pin = follower.pin_image()?;
    let time = now_micros();
    follower.skip_to(&mut pin)?;
    let Ok(image) = follower.image(pin)? else {
        return Err(ebbtide_shipper::Error::Mismatch(
            "the image is not of the log's end".to_owned(),
        )
        .into());
    };
    let difference = shipper.compare(|each| image.for_each_page::<FollowError>(each))?;
    let database = job.database.path.display();
    let pages = image.database_pages();
    if shipper.is_state(difference.digest, pages) {
        tracing::info!(%database, "the database is as the replica has it");
        shipper.stand_at(wal_position(image.position()))?;
        return Ok(());
    }
    tracing::info!(%database, pages = difference.count, "the database changed while nobody looked; sending the pages that differ");
    let rebase =
        Rebase { time, database_pages: pages, is_fork: false, wal: wal_position(image.position()) };
    shipper.rebase(rebase, &difference, |each| {
        image.for_pages_in::<FollowError>(&difference.pages, each)
    })
}

/// The replica has commits of ours that come next in the log: they are read again, and only what comes after is new.
async fn ahead(
    job: &Job,
    follower: &mut Follower,
    mut shipper: Shipper,
    resumed: bool,
    unconfirmed: &Unconfirmed,
) -> Result<Shipper, FollowError> {
    let mut left = unconfirmed.commits;
    if resumed && left > 0 {
        let shared = job.shared.clone();
        let replay = |transaction: &mut Transaction<'_>| {
            shipper.replay(transaction.database_pages, |each| {
                transaction.for_each_page::<FollowError>(each)
            })?;
            left -= 1;
            Ok::<_, FollowError>(left > 0)
        };
        shared.with_scratch(|scratch| {
            block_in_place(|| follower.capture(now_micros(), scratch, replay))
        })?;
    }
    let wal = wal_position(follower.position());
    if resumed && left == 0 && shipper.confirm_replay(unconfirmed, wal)? {
        return in_step(job, follower, shipper, true).await;
    }
    // The log does not have them any more, so the replica tells the hashes, and the pages are compared.
    let (store, outage) = (shipper.store(), shipper.outage());
    shipper.abandon();
    let folder = job.database.state.clone().unwrap_or_else(|| state_folder(&job.database.path));
    let local = Local { state: None, folder, database: None, page_size: follower.page_size() };
    let options = ebbtide_shipper::Options { puts: job.database.puts };
    match attach(store, outage, local, &options).await? {
        Attached::Rebuilt(shipper) => in_step(job, follower, shipper, false).await,
        _ => Err(ebbtide_shipper::Error::Mismatch(
            "the replica changed while it was read".to_owned(),
        )
        .into()),
    }
}
