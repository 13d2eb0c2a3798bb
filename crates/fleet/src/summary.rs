//! What is shown of one replica.

use std::sync::Arc;

use ebbtide_catalog::{
    Listing, PlanError, Progress, Survey, Tally, chronology, first_of, identify, last_of,
    list_recent, lost_beginning, read_indexes,
};
use ebbtide_replica::{Claim, Entry, EntryKind, Key, Manifest, Point, ReplicaId, Timestamp, Txid};
use ebbtide_store::{Object, Store, error_chain};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use crate::silence::Silence;

/// So many segments from the newest on are read until one says who writes.
const SEGMENTS_MAX: usize = 3;

/// A replica, as far as a few requests tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its identity.
    pub replica: ReplicaId,
    /// The size of the database's pages, in bytes.
    pub page_size: u32,
    /// When it was begun.
    pub created: Timestamp,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Who writes it.
    pub origin: Origin,
    /// The newest entry.
    pub newest: Newest,
    /// When something came last.
    pub silence: Option<Silence>,
    /// The entry from which on every commit is there; before it, single states may be kept.
    pub window: Txid,
    /// The oldest state that is kept, if that is before the window.
    pub oldest: Option<Timestamp>,
    /// How many states are kept before the window.
    pub older_states: u64,
    /// How many objects have names, without segments that are in packs as well.
    pub objects: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How large the database is, in bytes, if that could be read.
    pub database_bytes: Option<u64>,
    /// The names at the end of the history, by which it is known again: changed, if they are other ones.
    pub end: End,
    /// What is missing of it, in words, as far as names tell.
    #[serde(default)]
    pub lost: Option<String>,
    /// What the history amounts to up to an entry, if it was read.
    pub history: Option<(Txid, Tally)>,
}

impl Summary {
    /// From when on there is something to restore, if that is known.
    #[must_use]
    pub fn kept_since(&self) -> Option<Timestamp> {
        let begun = (self.window == Txid::FIRST).then_some(self.created);
        self.oldest.or(begun.filter(|_| self.newest != Newest::None))
    }

    /// What the whole history amounts to, if it was read up to its newest entry.
    #[must_use]
    pub fn counted(&self) -> Option<Tally> {
        let (read, tally) = self.history?;
        let is_whole = matches!(self.newest, Newest::Entry(newest) if newest.txid <= read);
        is_whole.then_some(tally)
    }

    /// Whether no key was missing.
    pub(crate) fn is_all_seen(&self) -> bool {
        !matches!(self.newest, Newest::AtLeast(_))
    }
}

/// The last object of the log, by which a history is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The name of the newest segment, or else pack.
    pub name: String,
    /// When it was put.
    pub modified: Timestamp,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Who writes a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The host, as its newest claim that was read says, or who created the replica.
    pub host: Option<String>,
    /// The path of the database there.
    pub database: Option<String>,
}

/// The end of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Newest {
    /// The newest entry.
    Entry(Point),
    /// It is in this segment or after it, which cannot be read without a key.
    AtLeast(Txid),
    /// There is no history yet.
    None,
}

/// Why there is no summary, in words.
pub(crate) type Why = String;

/// Looks at the replica in `store`; its history, too, if `with_history`, from where `before` has read it.
pub(crate) async fn summarize(
    store: Arc<dyn Store>,
    with_history: bool,
    before: Option<&Summary>,
) -> Result<Summary, Why> {
    let mut survey = match Survey::recent(Arc::clone(&store), Arc::new(Progress::default())).await {
        Ok(survey) => survey,
        Err(PlanError::Key(_)) => return names_only(&*store).await,
        Err(error) => return Err(error_chain(&error)),
    };
    let mut summary = match read_end(&mut survey).await {
        Ok(summary) => summary,
        Err(PlanError::Key(_)) => return names_only(&*store).await,
        Err(error) => return Err(error_chain(&error)),
    };
    let before = before.filter(|before| before.replica == summary.replica);
    // What was counted before stays, so that whoever counts again reads on from there.
    summary.history = before.and_then(|before| before.history);
    if with_history {
        let read = read_history(&mut survey, summary.history).await;
        summary.history = read.map_err(|error| error_chain(&error))?;
    }
    Ok(summary)
}

/// What is seen without a key.
async fn names_only(store: &dyn Store) -> Result<Summary, Why> {
    let identity = identify(store, None).await.map_err(|error| error_chain(&error))?;
    let identity = identity.ok_or("there is no replica any more")?;
    let (listing, _) = list_recent(store).await.map_err(|error| error_chain(&error))?;
    Ok(of_names(&identity.manifest, &listing))
}

fn of_names(manifest: &Manifest, listing: &Listing) -> Summary {
    let end = newest_object(listing);
    let newest = end.and_then(|object| last_of(object.key).or(first_of(object.key)));
    // "ebbtide 0.1.0 on db1"; of an encrypted one without the host.
    let host = manifest.created_by.split_once(" on ").map(|(_, host)| host.to_owned());
    Summary {
        replica: manifest.replica,
        page_size: manifest.page_size.get(),
        created: manifest.created,
        encrypted: manifest.encryption.is_some(),
        origin: Origin { host, database: None },
        newest: newest.map_or(Newest::None, Newest::AtLeast),
        silence: Silence::of(listing),
        window: Txid::FIRST,
        oldest: None,
        older_states: 0,
        objects: listing.objects().count() as u64,
        bytes: listing.objects().map(|object| object.size).sum(),
        database_bytes: None,
        end: End::of(end),
        lost: None,
        history: None,
    }
}

impl End {
    fn of(object: Option<Object>) -> End {
        let (name, modified) =
            (object.map(|object| object.key.to_string()), object.map(|object| object.modified));
        End {
            name: name.unwrap_or_default(),
            modified: modified.unwrap_or(Timestamp::EPOCH),
            bytes: object.map_or(0, |object| object.size),
        }
    }

    /// The same object's name, if it is a segment's or a pack's.
    pub(crate) fn key(&self) -> Option<Key> {
        Key::parse(&self.name)
    }
}

/// The segment or pack that reaches furthest, judging by names.
fn newest_object(listing: &Listing) -> Option<Object> {
    let pack = listing.packs.iter().max_by_key(|object| last_of(object.key));
    let segment = listing.log.last();
    let is_later =
        |segment: &&Object| first_of(segment.key) > pack.and_then(|pack| last_of(pack.key));
    segment.filter(is_later).or(pack).or(segment).copied()
}

/// Reads the newest entry, and who writes.
async fn read_end(survey: &mut Survey) -> Result<Summary, PlanError> {
    survey.head().await?;
    let mut summary = of_names(survey.manifest(), survey.known().listing());
    let newest = survey.newest();
    if let Some(newest) = newest {
        summary.newest = Newest::Entry(newest.state.point);
        summary.database_bytes =
            Some(u64::from(newest.state.database_pages) * u64::from(summary.page_size));
    }
    let known = survey.known();
    let kept = known.kept_states();
    summary.window = known.window();
    summary.older_states = kept.len() as u64;
    summary.oldest = kept.first().map(|state| state.time);
    summary.lost = lost_beginning(known).map(|culprit| format!("{}: {}", culprit.key, culprit.why));
    if let Some(origin) = origin(survey).await? {
        summary.origin = origin;
    }
    Ok(summary)
}

/// The newest claim of the newest segments, or of the object after the newest snapshot or delta, for which a claim vouches.
async fn origin(survey: &Survey) -> Result<Option<Origin>, PlanError> {
    let listing = survey.known().listing();
    let states = listing.snapshots.iter().chain(&listing.deltas);
    let state = states.filter_map(|object| object.key.state()).max();
    let vouching = state.and_then(|state| {
        let packs = listing.packs_with(state.next()).next();
        packs.or_else(|| listing.segment_of(state.next()))
    });
    let newest = newest_object(listing).into_iter();
    let before = listing.log.iter().rev().copied().take(SEGMENTS_MAX);
    let mut read = Vec::new();
    for object in newest.chain(vouching).chain(before) {
        if read.contains(&object.key) {
            continue;
        }
        read.push(object.key);
        let fetched = match survey.index(object).await {
            Err(error) if error.is_about_object() => continue,
            fetched => fetched?,
        };
        if let Some(claim) = fetched.index.entries().iter().rev().find_map(claim) {
            let database = claim.database.map(|file| file.path);
            return Ok(Some(Origin { host: Some(claim.host), database }));
        }
    }
    Ok(None)
}

fn claim(entry: &Entry) -> Option<Claim> {
    if entry.kind != EntryKind::Claim {
        return None;
    }
    Claim::from_detail(&entry.detail).ok()
}

/// Counts what came after `before`.
async fn read_history(
    survey: &mut Survey,
    before: Option<(Txid, Tally)>,
) -> Result<Option<(Txid, Tally)>, PlanError> {
    survey.list_the_rest().await?;
    let known = survey.known();
    let (window, (mut read, mut tally)) = (known.window(), before.unzip());
    let mut objects = chronology(known.listing(), read.map_or(window, Txid::next).max(window));
    objects.retain(|object| last_of(object.key).is_none_or(|last| Some(last) > read));
    let (store, manifest) = (&**survey.store(), survey.manifest());
    let mut indexes = std::pin::pin!(read_indexes(store, manifest, objects));
    while let Some((_, fetched)) = indexes.try_next().await? {
        for entry in fetched.index.entries() {
            if entry.txid >= window && Some(entry.txid) > read {
                tally.get_or_insert_default().add(entry);
                read = Some(entry.txid);
            }
        }
    }
    Ok(read.zip(tally))
}
