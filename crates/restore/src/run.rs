//! The restore as a whole: plan, fetch, prove, publish, and leave what `replicate` needs to carry on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::{Key, Manifest, Timestamp, Txid};
use ebbtide_state::{FileIdentity, Fill, Origin, Position, State, StateError};
use ebbtide_store::{Pace, Store};

use crate::blocking::blocking;
use crate::check::{Check, Checked};
use crate::error::{Error, Result};
use crate::fetch::{Stopped, fetch};
use crate::occupied::check;
use crate::output::{Output, Published};
use crate::sink::Sink;
use crate::verify::Checker;
use ebbtide_catalog::Outline;
use ebbtide_catalog::Plan;
use ebbtide_catalog::Progress;
use ebbtide_catalog::Survey;
use ebbtide_catalog::Target;
use ebbtide_catalog::{Anchor, hold_to};

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which state.
    pub target: Target,
    /// The database file to create.
    pub output: PathBuf,
    /// Move aside what is in its place.
    pub force: bool,
    /// The local state to leave, so that replicating goes on without uploading the database again.
    pub state: Option<LocalState>,
    /// What the history must be, as somebody knows it from elsewhere.
    pub expect: Option<Anchor>,
    /// What else must be true of the file before it appears.
    pub check: Option<Check>,
    /// How many bytes are fetched in a second at most.
    pub bytes_per_second: Option<u64>,
    /// The time, by which the future is told from the past, and which is in the names of what is moved aside.
    pub now: Timestamp,
}

impl Options {
    /// The state that `target` names as a new file, and nothing else. `now` is the time of day.
    #[must_use]
    pub fn new(target: Target, output: PathBuf, now: Timestamp) -> Options {
        Options {
            target,
            output,
            force: false,
            state: None,
            expect: None,
            check: None,
            bytes_per_second: None,
            now,
        }
    }
}

/// Where the local state goes.
#[derive(Debug, Clone)]
pub struct LocalState {
    /// Its directory; mostly [`state_directory`](ebbtide_state::state_directory) of the database.
    pub directory: PathBuf,
    /// Where the replica lies, as it stands in the state.
    pub location: String,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Report {
    /// The state and where it came from.
    pub outline: Outline,
    /// How many bytes of objects were fetched.
    pub bytes_fetched: u64,
    /// What was in the place of the database, under its new names.
    pub moved_aside: Vec<PathBuf>,
    /// What of the replaced file's owner, mode and extended attributes could not be kept, in words.
    pub lost: Vec<String>,
    /// Why the check that was asked for could not be made, or not of all.
    pub unchecked: Option<String>,
}

/// Restores a database. It appears under its name only when it is whole, proved and durable; after an error, and after a
/// kill, everything that was there is there, and nothing else.
///
/// A process that has the target itself open with SQLite must not call this: see [`Error::Refused`].
pub async fn restore(
    store: Arc<dyn Store>,
    options: &Options,
    progress: &Arc<Progress>,
) -> Result<Report> {
    let (output, force) = (options.output.clone(), options.force);
    blocking(move || check(&output, force).map(drop)).await?;
    let mut survey = Survey::recent(store, Arc::clone(progress)).await?;
    loop {
        let plan = survey.plan_to_read(options.target, options.now).await?;
        if let Some(anchor) = &options.expect {
            hold_to(&mut survey, &plan, anchor).await?;
        }
        let head =
            survey.head().await?.unwrap_or(plan.stop.state.txid()).max(plan.stop.state.txid());
        let outline = Outline::of(&survey, &plan, head).with_commit(&survey).await;
        match attempt(&survey, &plan, outline, options, progress).await {
            Ok(report) => return Ok(report),
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Gone(key)) => survey.miss(key),
            Err(Stopped::Damaged(key, why)) => survey.reject(key, why).await,
        }
    }
}

async fn attempt(
    survey: &Survey,
    plan: &Plan,
    outline: Outline,
    options: &Options,
    progress: &Arc<Progress>,
) -> Result<Report, Stopped> {
    let manifest = survey.manifest();
    let size = u64::from(plan.stop.state.database_pages) * manifest.page_size.offset();
    let rows = options.state.as_ref().map_or(0, |_| u64::from(plan.stop.state.database_pages) * 16);
    let (target, force) = (options.output.clone(), options.force);
    let output = blocking(move || Output::create(&target, force, size, rows)).await;
    let output = output.map_err(Stopped::Failed)?;
    let state = options.state.as_ref().map(NewState::begin).transpose().map_err(Stopped::Failed)?;
    let fill = state.as_ref().map(|state| Arc::clone(&state.fill));
    point("restore.begin");
    let sink = Sink::new(output.file(), output.path(), manifest.page_size, fill);
    let sink = Arc::new(sink);
    let pace = Arc::new(Pace::new(options.bytes_per_second));
    let written = match fetch(survey, plan, &sink, &pace, progress).await {
        Ok(written) => written,
        Err(stopped) => {
            drop(sink);
            discard(state);
            return Err(stopped);
        }
    };
    drop(sink);
    point("restore.fetched");
    if written.missing > 0 || written.digest != plan.stop.state.digest {
        discard(state);
        return Err(unproven(survey, plan).await);
    }
    let unchecked = match checked(options.check.clone(), output.path()).await {
        Ok(unchecked) => unchecked,
        Err(error) => {
            discard(state);
            return Err(Stopped::Failed(error));
        }
    };
    let now = options.now;
    let published = blocking(move || output.publish(now)).await;
    let Published { moved_aside, lost } = match published {
        Ok(published) => published,
        Err(error) => {
            discard(state);
            return Err(Stopped::Failed(error));
        }
    };
    if let Some(state) = state {
        let published = state.publish(manifest, plan, outline.head, &options.output);
        published.map_err(Stopped::Failed)?;
    }
    let bytes_fetched = progress.counts().fetched;
    Ok(Report { outline, bytes_fetched, moved_aside, lost, unchecked })
}

/// Makes the check, if there is one; why it could not be made, if it could not.
pub(crate) async fn checked(check: Option<Check>, path: &Path) -> Result<Option<String>> {
    let Some(check) = check else { return Ok(None) };
    let path = path.to_path_buf();
    blocking(move || match check.run(&path) {
        Ok(Checked::Sound) => Ok(None),
        Ok(Checked::Unchecked(why)) => Ok(Some(why)),
        Err(why) => Err(Error::Unsound { why }),
    })
    .await
}

/// The object to blame when the pages do not add up: the first that is not sound, else the base.
pub(crate) async fn unproven(survey: &Survey, plan: &Plan) -> Stopped {
    let progress = Progress::default();
    let checker = Checker::new(survey, &progress);
    for object in plan.objects().rev() {
        match checker.check(object).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => return Stopped::Damaged(object.key, why),
            Err(error) => return Stopped::Failed(error),
        }
    }
    let why = format!(
        "the pages from there on do not add up to the digest of entry {}",
        plan.stop.state.txid()
    );
    let base = plan.objects().next();
    Stopped::Damaged(base.map_or(Key::Log(plan.stop.state.txid()), |object| object.key), why)
}

/// A local state in the making.
struct NewState {
    fill: Arc<Fill>,
    location: String,
}

impl NewState {
    fn begin(local: &LocalState) -> Result<NewState> {
        let fill = match State::create(&local.directory) {
            Err(StateError::Busy { directory, process }) => {
                let process =
                    process.map_or_else(|| "a process".to_owned(), |id| format!("process {id}"));
                let why = format!("{process} is replicating that database: stop it first");
                return Err(Error::refused(&directory, why));
            }
            fill => fill?,
        };
        let location = local.location.clone();
        Ok(NewState { fill: Arc::new(fill), location })
    }

    fn publish(self, manifest: &Manifest, plan: &Plan, head: Txid, output: &Path) -> Result<()> {
        let metadata = output.symlink_metadata().map_err(Error::io("look at", output))?;
        let stop = &plan.stop;
        let position = Position {
            replica: manifest.replica,
            location: self.location,
            page_size: manifest.page_size,
            state: stop.state,
            wal: None,
            database: Some(FileIdentity::of(&metadata)),
            origin: Origin::Restored { head },
        };
        let fill = Arc::try_unwrap(self.fill).map_err(|_| Error::interrupted())?;
        point("restore.state.begin");
        State::publish(fill, position)?;
        point("restore.state.published");
        Ok(())
    }
}

/// Leaves the state as it was, or no state where there was none.
fn discard(state: Option<NewState>) {
    let Some(NewState { fill, .. }) = state else { return };
    if let Err(error) = fill.discard() {
        tracing::warn!(%error, "could not remove an unfinished state");
    }
}
