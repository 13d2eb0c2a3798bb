//! What is known of a replica at some moment: names, a summary of each object that was read, and which cannot be used.
//! Deciding works on this alone; whoever decides says what to read next.

use std::collections::BTreeMap;

use crate::Listing;
use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

use crate::piece::Piece;

/// Names, pieces and faults.
#[derive(Debug, Clone, Default)]
pub struct Known {
    listing: Listing,
    pieces: BTreeMap<Key, Piece>,
    faults: BTreeMap<Key, String>,
}

impl Known {
    /// Only the names.
    #[must_use]
    pub fn new(listing: Listing) -> Known {
        Known { listing, pieces: BTreeMap::new(), faults: BTreeMap::new() }
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

    /// Adds the summary of an object.
    pub fn learn(&mut self, key: Key, piece: Piece) {
        self.pieces.insert(key, piece);
    }

    /// Forgets what was learned of objects, which was for another time; names and faults stay.
    pub(crate) fn forget_pieces(&mut self) {
        self.pieces.clear();
    }

    /// Marks an object as unusable.
    pub fn exclude(&mut self, key: Key, why: String) {
        self.pieces.remove(&key);
        self.faults.insert(key, why);
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

/// The first entry of an object, judging by its name.
#[must_use]
pub fn first_of(key: Key) -> Option<Txid> {
    match key {
        Key::Log(first) | Key::Pack { first, .. } | Key::Delta { first, .. } => Some(first),
        Key::Snapshot(txid) => Some(txid),
        Key::Manifest | Key::Horizon(_) | Key::Mark { .. } => None,
    }
}

/// The last entry of a pack, which alone tells it by its name.
pub fn last_of(key: Key) -> Option<Txid> {
    match key {
        Key::Pack { last, .. } => Some(last),
        _ => None,
    }
}
