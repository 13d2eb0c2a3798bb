//! What of an encrypted replica is proved without any key: each byte of each object, that it has the name under which it
//! was written, that no entry is missing between others, and that the keys are there for those who may open them.

use std::sync::Arc;

use ebbtide_catalog::{Identity, Listing, Progress, list};
use ebbtide_replica::container::{Footer, Header, Outside};
use ebbtide_replica::{Error, Key, KeyPrefix, Manifest, Txid};
use ebbtide_store::{ErrorKind, Object, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::depth::Depth;
use super::finding::{Finding, Severity};
use super::verification::{Totals, Verification, count};
use super::wrapped::{Named, Span};
use crate::error::Result;

/// How many objects are read at once.
const OBJECTS_AT_ONCE: usize = 32;

/// Proves the replica in `store` as far as that needs no key.
pub(super) async fn verify_outside(
    store: &dyn Store,
    identity: Identity,
    progress: &Arc<Progress>,
) -> Result<Verification> {
    let Identity { manifest, is_stored } = identity;
    let (horizons, marks) = futures::try_join!(
        store.list(KeyPrefix::Horizon, None),
        store.list(KeyPrefix::Mark, None)
    )?;
    let listing = list(store).await?;
    let documents = || horizons.iter().chain(&marks).copied();
    let objects: Vec<Object> = listing.objects().chain(documents()).collect();
    progress.start(objects.iter().map(|object| object.size).sum());
    let mut findings = Vec::new();
    if !is_stored {
        let what = "it is missing or empty; the objects say the same".to_owned();
        findings.push(Finding { key: Key::Manifest, severity: Severity::Note, what });
    }
    let check = |&object: &Object| {
        let manifest = &manifest;
        async move {
            let checked = check_outside(store, manifest, object).await;
            progress.add_done(object.size);
            checked.map(|checked| (object, checked))
        }
    };
    let checked = stream::iter(&objects).map(check).buffer_unordered(OBJECTS_AT_ONCE);
    let checked: Vec<(Object, ReadObject)> = checked.try_collect().await?;
    let mut named = Named::default();
    named.add_index(&manifest);
    let (sound, found) = sort(checked, &mut named);
    findings.extend(found);
    let mut counts = count(&objects);
    let row = Row::of(&listing, &sound);
    findings.extend(row.missing(&findings));
    let (keys, missing) = named.check(store).await?;
    findings.extend(missing);
    findings.sort_by_key(|finding| (ebbtide_catalog::first_of(finding.key), finding.key));
    counts = Totals {
        horizons: horizons.len() as u64,
        marks: marks.len() as u64,
        keys,
        entries: row.entries(),
        ..counts
    };
    Ok(Verification {
        replica: manifest.replica,
        place: store.describe(),
        depth: Depth::Bytes,
        counts,
        history: None,
        first_restorable: None,
        restorable: Vec::new(),
        thinned: None,
        findings,
    })
}

/// The sound objects with the entries that they are about, and what is to be said of the others.
fn sort(
    checked: Vec<(Object, ReadObject)>,
    named: &mut Named,
) -> (Vec<(Key, [Txid; 2])>, Vec<Finding>) {
    let (mut sound, mut findings) = (Vec::new(), Vec::new());
    for (Object { key, .. }, checked) in checked {
        match checked {
            ReadObject::Sound(outside) => {
                let txids = [outside.first().min(outside.last()), outside.last()];
                let span = Span { txids, times: None };
                named.add(outside.envelope(), outside.has_images(), span);
                sound.push((key, txids));
            }
            ReadObject::Damaged(what) => {
                findings.push(Finding { key, severity: Severity::Damage, what });
            }
            // What is in a pack, and what a horizon condemned, goes; without a key nobody can tell whether it was to go.
            ReadObject::Gone => {
                let what = "it was deleted while the replica was read".to_owned();
                findings.push(Finding { key, severity: Severity::Note, what });
            }
        }
    }
    (sound, findings)
}

/// What came of one object.
enum ReadObject {
    Sound(Box<Outside>),
    Damaged(String),
    Gone,
}

/// Reads all of an object and proves what can be proved of it.
async fn check_outside(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<ReadObject, StoreError> {
    match read_outside(store, manifest, object).await {
        Ok(Ok(outside)) => Ok(ReadObject::Sound(Box::new(outside))),
        Ok(Err(error)) => Ok(ReadObject::Damaged(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(ReadObject::Gone),
        Err(error) if error.kind() == ErrorKind::Damaged => {
            Ok(ReadObject::Damaged(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn read_outside(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Result<Outside, Error>, StoreError> {
    let Object { key, size, .. } = object;
    let (head, tail) = (Header::SIZE as u64, Footer::SIZE as u64);
    if size < head + tail {
        let why = format!("{size} bytes are fewer than any object has");
        return Ok(Err(Error::damaged("the object", why)));
    }
    let (head, tail) = futures::try_join!(
        store.get_range(&key, 0..head),
        store.get_range(&key, size - tail..size)
    )?;
    let outside = match parse(manifest, object, &head, &tail) {
        Ok(outside) => outside,
        Err(error) => return Ok(Err(error)),
    };
    let (begin, end) = (head.len() as u64, size - tail.len() as u64);
    let mut bytes = store.get_stream(&key, begin..end).await?;
    let mut check = outside.check();
    while let Some(piece) = bytes.try_next().await? {
        if let Err(error) = check.push(&piece) {
            return Ok(Err(error));
        }
    }
    Ok(check.finish().map(|()| outside))
}

/// The ends of an object, if it is the one that it is taken for.
fn parse(manifest: &Manifest, object: Object, head: &[u8], tail: &[u8]) -> Result<Outside, Error> {
    let damaged = |why: String| Error::damaged("the object", why);
    let outside = Outside::parse(object.size, head, tail)?;
    let plain =
        || damaged("it is not encrypted, and ebbtide.json says that the replica is".to_owned());
    let outside = outside.ok_or_else(plain)?;
    let (key, replica) = (outside.key(), outside.replica());
    if key != object.key || replica != manifest.replica {
        return Err(damaged(format!("it was written as {key} of the replica {replica}")));
    }
    if outside.page_size() != manifest.page_size {
        let (theirs, ours) = (outside.page_size(), manifest.page_size);
        let why = format!("its pages have {theirs} bytes, and ebbtide.json says {ours}");
        return Err(damaged(why));
    }
    Ok(outside)
}

/// The entries of the history, as far as names and footers tell.
struct Row {
    /// Where it begins: with the window of the newest horizon, or with entry 1.
    first: Txid,
    /// The last entry of all, if there is any.
    last: Option<Txid>,
    /// Entries that no sound object has.
    gaps: Vec<[Txid; 2]>,
}

impl Row {
    fn of(listing: &Listing, sound: &[(Key, [Txid; 2])]) -> Row {
        let horizons = sound.iter().filter(|(key, _)| matches!(key, Key::Horizon(_)));
        let newest = horizons.max_by_key(|(key, _)| *key);
        let first = newest.map_or(Txid::FIRST, |(_, [first, _])| *first);
        let is_history = |key: Key| matches!(key, Key::Log(_) | Key::Pack { .. });
        let junk = |key: Key| listing.junk.iter().any(|junk| junk.key == key);
        let mut held: Vec<[Txid; 2]> = sound
            .iter()
            .filter(|(key, [_, last])| is_history(*key) && !junk(*key) && *last >= first)
            .map(|(_, txids)| *txids)
            .collect();
        held.sort_unstable();
        let (mut next, mut last, mut gaps) = (first, None, Vec::new());
        for [begin, end] in held {
            if begin > next
                && let Some(before) = begin.previous()
            {
                gaps.push([next, before]);
            }
            next = next.max(end.next());
            last = last.max(Some(end));
        }
        Row { first, last, gaps }
    }

    /// The gaps that no damaged object explains.
    fn missing(&self, found: &[Finding]) -> Vec<Finding> {
        let damaged = found.iter().filter(|finding| finding.severity == Severity::Damage);
        let damaged: Vec<Txid> =
            damaged.filter_map(|finding| ebbtide_catalog::first_of(finding.key)).collect();
        let unexplained = self.gaps.iter().filter(|[first, last]| {
            !damaged.iter().any(|damaged| (first..=last).contains(&damaged))
        });
        let finding = |[first, last]: &[Txid; 2]| Finding {
            key: Key::Log(*first),
            severity: Severity::Damage,
            what: format!("it is missing: entries {first} to {last} are in no object"),
        };
        unexplained.map(finding).collect()
    }

    fn entries(&self) -> u64 {
        let gaps: u64 = self.gaps.iter().map(|[first, last]| last.get() - first.get() + 1).sum();
        self.last.map_or(0, |last| last.get() - self.first.get() + 1 - gaps)
    }
}
