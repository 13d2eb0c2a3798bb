//! Proves the history: from its first entry to its last, each linked to the one before, each with the digest that its
//! pages give, and each snapshot, pack and delta where the log says it belongs.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebbtide_catalog::{Fetched, HashRun, Hashes, missed_since};
use ebbtide_replica::{Chain, Digest, Entry, EntryFlags, EntryKind, Key, Point, Run, Txid, Vouch};
use ebbtide_store::Object;
use ebbtide_wal::PageNumber;
use futures::{StreamExt as _, stream};

use super::documents::Statement;
use super::finding::{Finding, Severity};
use super::kept::{Built, base_state};
use super::rows::Rows;
use super::scope::Scope;
use crate::error::Result;
use ebbtide_catalog::IndexState;
use ebbtide_catalog::Survey;
use ebbtide_catalog::first_of;

/// How many indexes are read ahead.
const INDEXES_AHEAD: usize = 32;

/// What came out.
#[derive(Debug, Default)]
pub(super) struct WalkProof {
    pub(super) findings: Vec<Finding>,
    pub(super) entries: u64,
    pub(super) digests: u64,
    pub(super) gaps: u64,
    pub(super) first: Option<Point>,
    pub(super) last: Option<Point>,
    pub(super) first_restorable: Option<Txid>,
    /// Marks of states that the newest horizon does not keep: somebody may have claimed them back since.
    pub(super) claimed_back: Vec<Statement>,
}

/// The walk through the history.
#[derive(Debug)]
pub(super) struct Prover<'a> {
    survey: &'a Survey,
    scope: &'a Scope,
    /// What is said elsewhere of states of the history.
    statements: Vec<Statement>,
    /// The page hashes after the last entry, if a base for them was met.
    rows: Option<Rows>,
    /// Whether a base was met at all: before the first one, there are only the claims of a new replica.
    based: bool,
    /// The last entry, if the history is whole up to the next one.
    before: Option<IndexState>,
    /// The states with which something else is to be compared.
    interest: BTreeSet<Txid>,
    points: BTreeMap<Txid, IndexState>,
    /// The deltas that can be used, by the entry whose state they apply to.
    deltas: BTreeMap<Txid, Vec<Object>>,
    /// What the history says of the content of snapshots, and of deltas: by its pages…
    contents: BTreeMap<Txid, [u8; 32]>,
    /// …and in so many words.
    vouches: BTreeMap<Key, [u8; 32]>,
    proved: WalkProof,
}

impl<'a> Prover<'a> {
    /// Begins with the window of the newest horizon, from `base` if that is proved; with entry 1 where there is none.
    /// `statements` are compared with the history as it passes.
    pub(super) fn new(
        survey: &'a Survey,
        scope: &'a Scope,
        base: Option<Built>,
        statements: &[Statement],
    ) -> Prover<'a> {
        let listing = survey.known().listing();
        let others = listing.packs.iter().chain(&listing.deltas).chain(&listing.snapshots);
        let ends = |object: &Object| match object.key {
            Key::Pack { first, last } => [first.previous(), Some(last)],
            Key::Delta { last, .. } => [Some(last), None],
            Key::Snapshot(txid) => [Some(txid), None],
            _ => [None, None],
        };
        let mut interest: BTreeSet<Txid> = others.flat_map(ends).flatten().collect();
        let in_pack = |txid: Txid| listing.packs_with(txid).next().is_some();
        let segments = listing.log.iter().filter_map(|object| first_of(object.key));
        interest.extend(segments.filter_map(Txid::previous).filter(|&txid| in_pack(txid)));
        interest.extend(statements.iter().map(|statement| statement.txid));
        let mut deltas: BTreeMap<Txid, Vec<Object>> = BTreeMap::new();
        let usable = |key| survey.known().is_usable(key) && scope.has(key);
        for &object in listing.deltas.iter().filter(|object| usable(object.key)) {
            if let Some(base) = first_of(object.key).and_then(Txid::previous) {
                deltas.entry(base).or_default().push(object);
            }
        }
        let before = survey.known().horizon().and_then(base_state);
        let rows = base.map(|base| base.rows);
        Prover {
            survey,
            scope,
            statements: statements.to_vec(),
            deltas,
            based: rows.is_some(),
            rows,
            before,
            interest,
            points: BTreeMap::new(),
            contents: BTreeMap::new(),
            vouches: BTreeMap::new(),
            proved: WalkProof::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<WalkProof> {
        let survey = self.survey;
        let mut objects = stream::iter(self.spine())
            .map(|object| survey.index_ahead(object))
            .buffered(INDEXES_AHEAD);
        while let Some(ahead) = objects.next().await {
            let key = ahead.object.key;
            self.object(key, &survey.index_of(ahead).await?).await?;
        }
        drop(objects);
        self.check_beginning();
        self.compare_others().await?;
        self.compare_statements();
        Ok(self.proved)
    }

    /// The objects that the history is made of: segments, and packs where segments are gone.
    fn spine(&self) -> Vec<Object> {
        let known = self.survey.known();
        let (listing, window) = (known.listing(), known.window());
        // Of the segments before the window, the last may reach into it.
        let reaches = listing.log.partition_point(|object| object.key <= Key::Log(window));
        let reaches = listing.log[..reaches].last().map(|object| object.key);
        let is_before = |key: Key| match key {
            Key::Pack { last, .. } => last < window,
            key => Some(key) < reaches,
        };
        let usable = |object: &&Object| {
            known.is_usable(object.key) && self.scope.has(object.key) && !is_before(object.key)
        };
        let mut spine: Vec<Object> =
            listing.log.iter().chain(&listing.packs).filter(usable).copied().collect();
        // A pack comes before the segments that it was merged from, which are compared with it and passed over.
        spine.sort_by_key(|object| (first_of(object.key), std::cmp::Reverse(object.key)));
        spine
    }

    async fn object(&mut self, key: Key, fetched: &Arc<Fetched>) -> Result<()> {
        let (index, window) = (&fetched.index, self.survey.known().window());
        if index.footer().last < window {
            return Ok(());
        }
        if self.before.is_some_and(|before| index.footer().last <= before.state.txid()) {
            self.compare(key, fetched);
            return Ok(());
        }
        if !self.link(key, fetched)? {
            return Ok(());
        }
        // Before the window an entry counts for nothing, also where its object is there.
        let thinned = index.entries().partition_point(|entry| entry.txid < window);
        let mut hashes = Hashes::new(&**self.survey.store(), key, fetched);
        let mut run = hashes.next().await?;
        while run.is_some_and(|run| run.entry < thinned) {
            run = hashes.next().await?;
        }
        let entries = index.entries().iter().zip(index.chains()).enumerate();
        for (number, (entry, chain)) in entries.skip(thinned) {
            if entry.is_complete() {
                (self.rows, self.based) = (Some(Rows::new()?), true);
            }
            self.check_growth(key, entry);
            while let Some(HashRun { first, hashes: new, .. }) =
                run.filter(|run| run.entry == number)
            {
                if let Some(rows) = &mut self.rows {
                    rows.set(first, new)?;
                }
                run = hashes.next().await?;
            }
            self.entry(key, entry, chain).await?;
        }
        Ok(())
    }

    /// Goes on from the last entry to the first of an object. Says whether that makes sense.
    fn link(&mut self, key: Key, fetched: &Fetched) -> Result<bool> {
        let index = &fetched.index;
        let (Some(first), Some(chain)) = (index.entries().first(), index.header().chain()) else {
            return Ok(false);
        };
        if self.proved.last.is_none() {
            return self.link_first(key, fetched);
        }
        match self.before {
            None => self.rows = None,
            Some(before) if first.txid <= before.state.txid() => {
                let what = format!(
                    "it begins with entry {}, which lies in another object too",
                    first.txid
                );
                self.damage(key, what);
                return Ok(false);
            }
            Some(before) if !before.state.txid().precedes(first.txid) => {
                self.missing(before.state.txid().next(), first.txid);
                (self.rows, self.before) = (None, None);
            }
            Some(before) if before.state.chain != chain => {
                self.damage(
                    key,
                    format!("its first entry was not written after entry {}", before.state.txid()),
                );
                (self.rows, self.before) = (None, None);
            }
            Some(before) if first.time < before.state.time() => {
                self.damage(
                    key,
                    format!("its first entry is of {}, before {}", first.time, before.state.time()),
                );
            }
            Some(_) => {}
        }
        Ok(true)
    }

    /// Begins with the first entry of an object: the first of all, or the first of the window.
    fn link_first(&mut self, key: Key, fetched: &Fetched) -> Result<bool> {
        let index = &fetched.index;
        let (window, first) = (self.survey.known().window(), index.header().first());
        if window < first {
            self.missing(window, first);
            (self.rows, self.before) = (None, None);
        }
        if window == Txid::FIRST {
            self.rows = (first == window).then(Rows::new).transpose()?;
            return Ok(true);
        }
        let thinned = index.entries().partition_point(|entry| entry.txid < window);
        let chain = match thinned.checked_sub(1) {
            Some(last) => index.chains().nth(last),
            None => index.header().chain(),
        };
        if let Some(before) = self.before
            && chain != Some(before.state.chain)
        {
            let what =
                format!("the state {} that is kept does not lead to it", before.state.txid());
            self.damage(key, what);
            return Ok(false);
        }
        Ok(true)
    }

    /// Of a history of which nothing is there, the beginning is missing, too.
    fn check_beginning(&mut self) {
        let known = self.survey.known();
        let (listing, window) = (known.listing(), known.window());
        let has_history =
            listing.log.iter().chain(&listing.packs).any(|object| !known.is_usable(object.key));
        // Where the horizon keeps the newest state alone, nothing need have come after it.
        let is_due = known.horizon().is_none_or(|horizon| horizon.head >= window);
        if self.proved.last.is_none() && !has_history && !listing.is_empty() && is_due {
            self.missing(window, window.next());
        }
    }

    /// A size that no pages bear out costs nothing to state, so nothing is done with it.
    fn check_growth(&mut self, key: Key, entry: &Entry) {
        let Some(before) = self.before else { return };
        let page_size = self.survey.manifest().page_size;
        if entry.carries_from(page_size) > before.state.database_pages.saturating_add(1) {
            let what = format!(
                "entry {} makes the database larger and does not carry all of the new pages",
                entry.txid
            );
            self.damage(key, what);
            self.rows = None;
        }
    }

    async fn entry(&mut self, key: Key, entry: &Entry, chain: Chain) -> Result<()> {
        let point = IndexState::after(entry, chain);
        let moved = entry.flags.contains(EntryFlags::IN_SNAPSHOT);
        if moved || self.rows.is_none() {
            self.rows = self.load(&point).await?;
            self.based |= self.rows.is_some();
        }
        if moved && self.rows.is_none() {
            let what = format!("it is needed for entry {}, which has its pages there", entry.txid);
            self.damage(Key::Snapshot(entry.txid), what);
        }
        if let Some(rows) = &mut self.rows {
            rows.resize(entry.database_pages)?;
            if rows.digest() == entry.digest {
                self.proved.digests += 1;
                if self.based {
                    self.proved.first_restorable.get_or_insert(entry.txid);
                }
            } else {
                self.damage(
                    key,
                    format!("the pages do not add up to the digest of entry {}", entry.txid),
                );
                self.rows = None;
            }
        }
        let kept = self.before.is_none_or(|before| {
            (before.state.digest, before.state.database_pages)
                == (entry.digest, entry.database_pages)
        });
        if entry.kind == EntryKind::Claim && !kept {
            self.damage(key, format!("entry {} is a claim and changes the database", entry.txid));
        }
        if self.interest.contains(&entry.txid) {
            self.points.insert(entry.txid, point);
        }
        self.prove_deltas(entry.txid).await?;
        self.note_content(entry)?;
        let moment = entry.point();
        self.proved.first.get_or_insert(moment);
        self.proved.last = Some(moment);
        self.proved.entries += 1;
        self.proved.gaps += u64::from(missed_since(entry).is_some());
        self.before = Some(point);
        Ok(())
    }

    /// Proves of each delta that applies to the state after `txid` that it has every page that changed, and as it was left.
    async fn prove_deltas(&mut self, txid: Txid) -> Result<()> {
        let survey = self.survey;
        let Some(rows) = &self.rows else { return Ok(()) };
        let mut wrong = Vec::new();
        for object in self.deltas.get(&txid).into_iter().flatten() {
            let fetched = survey.index(*object).await?;
            let Some(entry) = fetched.index.entries().first() else { continue };
            let mut digest = rows.digest();
            let cut = PageNumber::new(entry.database_pages.saturating_add(1)).and_then(|first| {
                let count = rows.len().checked_sub(entry.database_pages)?;
                Run::new(first, count)
            });
            for run in entry.runs.iter().copied().chain(cut) {
                digest = rows.digest_without(digest, run)?;
            }
            let mut hashes = Hashes::new(&**survey.store(), object.key, &fetched);
            while let Some(HashRun { hashes, .. }) = hashes.next().await? {
                digest = hashes.iter().copied().fold(digest, Digest::toggle);
            }
            if digest != entry.digest {
                wrong.push((object.key, entry.txid));
            }
        }
        for (key, last) in wrong {
            let what =
                format!("it does not lead from entry {txid} to the state after entry {last}");
            self.damage(key, what);
        }
        Ok(())
    }

    /// Notes what the history says of the content of snapshots and deltas.
    fn note_content(&mut self, entry: &Entry) -> Result<()> {
        let vouches = Vouch::all_of(entry).into_iter();
        self.vouches.extend(vouches.map(|Vouch { object, content }| (object, content)));
        if let Some(rows) = &self.rows
            && self.snapshot(entry.txid).is_some()
        {
            let content = rows.content(self.survey.manifest().page_size)?;
            self.contents.insert(entry.txid, content);
        }
        Ok(())
    }

    /// The snapshot of the state after `txid`, if there is one that can be used.
    fn snapshot(&self, txid: Txid) -> Option<Object> {
        let known = self.survey.known();
        let (key, snapshots) = (Key::Snapshot(txid), &known.listing().snapshots);
        let at = snapshots.binary_search_by_key(&key, |object| object.key).ok()?;
        known.is_usable(key).then(|| snapshots[at])
    }

    /// The page hashes of the snapshot of this state, if there is one that can be used.
    async fn load(&self, point: &IndexState) -> Result<Option<Rows>> {
        let Some(object) = self.snapshot(point.state.txid()) else { return Ok(None) };
        let fetched = self.survey.index(object).await?;
        if fetched.index.footer().chain != point.state.chain {
            return Ok(None);
        }
        let mut rows = Rows::new()?;
        let mut hashes = Hashes::new(&**self.survey.store(), object.key, &fetched);
        while let Some(HashRun { first, hashes, .. }) = hashes.next().await? {
            rows.set(first, hashes)?;
        }
        Ok(Some(rows))
    }

    fn missing(&mut self, first: Txid, end: Txid) {
        let last = end.previous().unwrap_or(first);
        // An object that cannot be used has a finding of its own, and what it had is not missing but damaged.
        let known = self.survey.known();
        let blamed = known.listing().log.iter().any(|object| {
            (Key::Log(first)..=Key::Log(last)).contains(&object.key) && !known.is_usable(object.key)
        });
        if !blamed {
            // The beginning may be gone because it was thinned, which a horizon would say.
            let stolen = match self.proved.last {
                None => ", and no horizon says that they were to be deleted",
                Some(_) => "",
            };
            let what = format!("it is missing: entries {first} to {last} are in no object{stolen}");
            self.damage(Key::Log(first), what);
        }
    }

    fn damage(&mut self, key: Key, what: impl Into<String>) {
        self.proved.findings.push(Finding { key, severity: Severity::Damage, what: what.into() });
    }
}
