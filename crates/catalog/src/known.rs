//! What is known of a replica at some moment: names, a summary of each object that was read, and which cannot be used.
//! Deciding works on this alone; whoever decides says what to read next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Listing, StoredHorizon};
use ebbtide_replica::{Chain, Horizon, HorizonState, Key, Txid, Vouch};
use ebbtide_store::Object;

use crate::piece::Piece;

/// Names, pieces and faults.
#[derive(Debug, Clone, Default)]
pub struct Known {
    listing: Listing,
    pieces: BTreeMap<Key, Piece>,
    faults: BTreeMap<Key, String>,
    horizon: Option<Arc<StoredHorizon>>,
    /// States that somebody has marked, with their chains.
    marked: BTreeMap<Txid, Chain>,
    /// What the pieces vouch for.
    vouched: BTreeSet<(Key, [u8; 32])>,
    /// What else entries vouch for.
    noted: BTreeSet<(Key, [u8; 32])>,
}

impl Known {
    /// Only the names.
    #[must_use]
    pub fn new(listing: Listing) -> Known {
        Known { listing, ..Known::default() }
    }

    /// The same with the newest horizon.
    #[must_use]
    pub fn with_horizon(self, horizon: Option<StoredHorizon>) -> Known {
        Known { horizon: horizon.map(Arc::new), ..self }
    }

    /// The newest horizon, if there is one.
    #[must_use]
    pub fn horizon(&self) -> Option<&Horizon> {
        self.stored_horizon().map(|stored| &stored.horizon)
    }

    /// The same as it lies in the store.
    #[must_use]
    pub fn stored_horizon(&self) -> Option<&StoredHorizon> {
        self.horizon.as_deref()
    }

    /// The first entry from which on every state is kept: the first of all, unless a horizon says otherwise.
    #[must_use]
    pub fn window(&self) -> Txid {
        self.horizon().map_or(Txid::FIRST, |horizon| horizon.window)
    }

    /// The states before the window that are kept, in order.
    #[must_use]
    pub fn kept_states(&self) -> &[HorizonState] {
        self.horizon().map_or(&[], |horizon| &horizon.contents.states)
    }

    /// The state after `txid`, if it is before the window and is kept.
    #[must_use]
    pub fn kept(&self, txid: Txid) -> Option<&HorizonState> {
        let states = self.kept_states();
        states.binary_search_by_key(&txid, |state| state.txid).ok().map(|at| &states[at])
    }

    /// The state after `txid` has this chain, as a mark states it. Then it can be planned for, whether a horizon keeps it or
    /// not.
    pub fn add_mark(&mut self, txid: Txid, chain: Chain) {
        self.marked.insert(txid, chain);
    }

    /// The chain after `txid`, if the horizon or a mark states it.
    pub(crate) fn anchor(&self, txid: Txid) -> Option<Chain> {
        let kept = self.kept(txid).and_then(HorizonState::chain);
        kept.or_else(|| self.marked.get(&txid).copied())
    }

    /// Whether a snapshot or delta was read, and so was an entry that vouches for it, or the horizon names it.
    pub(crate) fn is_vouched(&self, key: Key) -> bool {
        let Some(end) = self.piece(key).and_then(Piece::end) else { return false };
        let vouch = (key, end.content);
        self.is_named(key) || self.vouched.contains(&vouch) || self.noted.contains(&vouch)
    }

    /// Whether the horizon names this very object, of which the index was read.
    pub(crate) fn is_named(&self, key: Key) -> bool {
        let (Some(piece), Some(horizon)) = (self.piece(key), self.horizon()) else { return false };
        let mut named = horizon.contents.objects.iter().filter(|object| object.name == key);
        named.any(|object| object.root() == Some(piece.root))
    }

    /// The names.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// The names are these now; what was learned of objects stays.
    pub fn relist(&mut self, listing: Listing) {
        self.listing = listing;
    }

    /// Adds a segment that the listing did not show.
    pub fn found(&mut self, object: Object) {
        if let Err(at) = self.listing.log.binary_search(&object) {
            self.listing.log.insert(at, object);
        }
    }

    /// Adds what entries vouch for that are in no piece.
    pub(crate) fn note_vouches(&mut self, vouches: impl IntoIterator<Item = Vouch>) {
        self.noted.extend(vouches.into_iter().map(|vouch| (vouch.object, vouch.content)));
    }

    /// An object is read from another place, where it has this size.
    pub(crate) fn replace(&mut self, key: Key, size: u64) {
        self.pieces.remove(&key);
        let Listing { log, packs, deltas, snapshots, .. } = &mut self.listing;
        let mut all = log.iter_mut().chain(packs).chain(deltas).chain(snapshots);
        if let Some(object) = all.find(|object| object.key == key) {
            object.size = size;
        }
    }

    /// Adds the summary of an object.
    pub fn learn(&mut self, key: Key, piece: Piece) {
        self.vouched.extend(vouched(&piece));
        self.pieces.insert(key, piece);
    }

    /// Forgets what was learned of objects, which was for another time; names and faults stay.
    pub(crate) fn forget_pieces(&mut self) {
        self.pieces.clear();
        self.vouched.clear();
    }

    /// Forgets what was learned of an object, which is to be read again.
    pub(crate) fn forget(&mut self, key: Key) {
        self.pieces.remove(&key);
        self.vouched = self.pieces.values().flat_map(vouched).collect();
    }

    /// Marks an object as unusable.
    pub fn exclude(&mut self, key: Key, why: String) {
        let piece = self.pieces.remove(&key);
        if piece.is_some_and(|piece| !piece.vouches.is_empty()) {
            self.vouched = self.pieces.values().flat_map(vouched).collect();
        }
        self.faults.insert(key, why);
    }

    /// What was marked as unusable.
    pub(crate) fn into_faults(self) -> BTreeMap<Key, String> {
        self.faults
    }

    /// The summary of an object, if it was read.
    #[must_use]
    pub fn piece(&self, key: Key) -> Option<&Piece> {
        self.pieces.get(&key)
    }

    /// Why an object cannot be used.
    #[must_use]
    pub fn fault(&self, key: Key) -> Option<&str> {
        self.faults.get(&key).map(String::as_str)
    }

    /// Whether an object can be used, as far as is known.
    #[must_use]
    pub fn is_usable(&self, key: Key) -> bool {
        !self.faults.contains_key(&key)
    }

    /// The first entry that any segment or pack has, judging by the names.
    #[must_use]
    pub fn oldest_entry(&self) -> Option<Txid> {
        let Listing { log, packs, .. } = &self.listing;
        log.first().into_iter().chain(packs.first()).filter_map(|object| first_of(object.key)).min()
    }
}

/// What a piece vouches for.
fn vouched(piece: &Piece) -> impl Iterator<Item = (Key, [u8; 32])> {
    piece.vouches.iter().map(|(_, vouch)| (vouch.object, vouch.content))
}

/// The first entry of an object, judging by its name.
#[must_use]
pub fn first_of(key: Key) -> Option<Txid> {
    match key {
        Key::Log(first) | Key::Pack { first, .. } | Key::Delta { first, .. } => Some(first),
        Key::Snapshot(txid) => Some(txid),
        Key::Manifest | Key::Horizon(_) | Key::Mark { .. } | Key::Wrapped { .. } => None,
    }
}

/// The last entry of a pack, which alone tells it by its name.
pub fn last_of(key: Key) -> Option<Txid> {
    match key {
        Key::Pack { last, .. } => Some(last),
        _ => None,
    }
}
