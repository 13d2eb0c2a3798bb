//! Back through the history, from one entry towards older ones, over the objects that hold it.

use ebbtide_replica::{Chain, Key, Txid, Vouch};
use ebbtide_store::Object;

use crate::known::{Known, first_of};
use crate::piece::{Carrier, IndexState, Piece};

/// Objects with consecutive entries, the newest first. Each one is linked with the one after it by the chain.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    known: &'a Known,
    /// The chain after the entry that it begins with, where the horizon or a mark has it.
    anchor: Option<Chain>,
    objects: Vec<Object>,
    /// The newest entry that is not covered yet; nothing when the first entry of all is covered.
    next: Option<Txid>,
    /// Objects that were found not to belong here, and why.
    rejected: Vec<(Key, String)>,
    /// What must be read before the walk can be trusted.
    pub(crate) unread: Vec<Object>,
    /// States that must be known before the walk can be trusted.
    pub(crate) unknown: Vec<Txid>,
}

/// Why a walk does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The oldest entry that is known to be missing…
    pub(crate) first: Txid,
    /// …and the newest.
    pub(crate) last: Txid,
    /// The object that should have it and cannot be used, if there is one, and why.
    pub(crate) culprit: Option<(Key, String)>,
}

impl Hole {
    /// Whether `key` is a delta with entries that are missing.
    pub(crate) fn is_spanned_by(&self, key: Key) -> bool {
        matches!(key, Key::Delta { first, last } if first <= self.last && self.first <= last)
    }
}

impl<'a> Walk<'a> {
    /// Begins with entry `stop`.
    pub(crate) fn new(known: &'a Known, stop: Txid) -> Walk<'a> {
        Walk {
            known,
            anchor: known.anchor(stop),
            objects: Vec::new(),
            next: Some(stop),
            rejected: Vec::new(),
            unread: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Goes on until entry `oldest` is covered.
    pub(crate) fn extend(&mut self, oldest: Txid) -> Result<(), Hole> {
        while let Some(next) = self.next.filter(|&next| next >= oldest) {
            let object = self.object_with(next).ok_or_else(|| self.hole(next))?;
            match self.known.piece(object.key) {
                None => self.unread.push(object),
                Some(piece) => match self.link(piece, next) {
                    Link::Sound => {}
                    Link::Unknown => self.must_know(next, object),
                    Link::Broken(why) => {
                        self.rejected.push((object.key, why));
                        continue;
                    }
                    Link::Unborne(hole) => return Err(hole),
                },
            }
            self.objects.push(object);
            self.next = first_of(object.key).and_then(Txid::previous);
        }
        Ok(())
    }

    /// The objects so far, the newest first.
    pub(crate) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The newest entry up to `stop` that needs nothing before it, of those that are covered and read.
    pub(crate) fn newest_base(&self, stop: Txid) -> Option<(Txid, Carrier)> {
        let bases = self.covered(stop).filter_map(|(piece, newest)| {
            piece.bases.iter().rev().find(|(txid, _)| *txid <= newest).copied()
        });
        { bases }.next()
    }

    /// The objects that are covered and read, the newest first, each with the newest entry up to `stop` that it stands for:
    /// what a newer one has, too, is not linked with what comes after it.
    fn covered(&self, stop: Txid) -> impl Iterator<Item = (&Piece, Txid)> {
        let covered = self.objects.iter().scan(Some(stop), |next, object| {
            let newest = (*next)?;
            *next = first_of(object.key).and_then(Txid::previous).map(|txid| txid.min(newest));
            Some((object, newest))
        });
        covered.filter_map(|(object, newest)| Some((self.known.piece(object.key)?, newest)))
    }

    /// What the history says about the state after `txid`, which is covered or comes right before what is covered. A
    /// state that is covered but not known by now is noted as such.
    pub(crate) fn witness(&mut self, txid: Txid) -> Option<Witness> {
        let mut chain = None;
        for &object in &self.objects {
            let Some(piece) = self.known.piece(object.key) else { continue };
            if piece.contains(txid) {
                let point = piece.point(txid).copied();
                if point.is_none() && chain.is_none() {
                    self.must_know(txid, object);
                }
                return point.map(Witness::State).or(chain.map(Witness::Chain));
            }
            if txid.precedes(piece.first) {
                chain = piece.before;
            }
        }
        chain.map(Witness::Chain)
    }

    /// The object that covers most before `txid`, of those that can be used.
    fn object_with(&self, txid: Txid) -> Option<Object> {
        let usable = |object: &&Object| {
            self.known.is_usable(object.key)
                && self.rejected.iter().all(|(rejected, _)| *rejected != object.key)
        };
        let listing = self.known.listing();
        let packs = listing.packs_with(txid).filter(|object| usable(&object));
        let end = listing.log.partition_point(|object| object.key <= Key::Log(txid));
        let segment =
            listing.log[..end].iter().rev().find(usable).filter(|object| {
                self.known.piece(object.key).is_none_or(|piece| piece.contains(txid))
            });
        packs.chain(segment.copied()).min_by_key(|object| first_of(object.key))
    }

    /// How `piece`, which covers `next`, goes together with the object that begins after it.
    fn link(&self, piece: &Piece, next: Txid) -> Link {
        let Some(after) = self.objects.last() else { return self.link_to_anchor(piece, next) };
        let after = self.known.piece(after.key);
        let Some((after, expected)) = after.and_then(|after| Some((after, after.before?))) else {
            return Link::Sound;
        };
        match piece.point(next) {
            Some(point) if point.state.chain == expected => {
                self.unborne(after, point.state.database_pages).map_or(Link::Sound, Link::Unborne)
            }
            Some(_) => Link::Broken(format!(
                "its entry {next} is not the one that entry {} was written after",
                after.first
            )),
            None => Link::Unknown,
        }
    }

    /// How the first object of the walk goes together with the state that it leads to.
    fn link_to_anchor(&self, piece: &Piece, next: Txid) -> Link {
        let Some(anchor) = self.anchor else { return Link::Sound };
        match piece.point(next) {
            Some(point) if point.state.chain == anchor => Link::Sound,
            Some(_) => Link::Broken(format!("its entry {next} is not the one that is kept")),
            None => Link::Unknown,
        }
    }

    /// What is wrong if the database had `database_pages` pages after entry `txid`, which comes right before an object that
    /// is covered, or is in one.
    pub(crate) fn unborne_after(&self, txid: Txid, database_pages: u32) -> Option<Hole> {
        let mut pieces = self.objects.iter().filter_map(|object| self.known.piece(object.key));
        let piece = pieces.find(|piece| txid.precedes(piece.first))?;
        self.unborne(piece, database_pages)
    }

    /// What is wrong with `piece` if the database had `database_pages` pages before it: no page of a state is without
    /// content, so that a size costs whoever states it the pages.
    fn unborne(&self, piece: &Piece, database_pages: u32) -> Option<Hole> {
        if piece.carries_from <= database_pages.saturating_add(1) {
            return None;
        }
        let object = self.objects.iter().find(|object| {
            self.known.piece(object.key).is_some_and(|other| other.first == piece.first)
        })?;
        let why = format!(
            "its entry {} makes the database larger than {database_pages} pages and does not carry all of the new ones",
            piece.first
        );
        Some(Hole { first: piece.first, last: piece.first, culprit: Some((object.key, why)) })
    }

    /// The chain after `txid`, which the newest object that is covered has. If it is not known, that is noted.
    pub(crate) fn newest(&mut self, txid: Txid) -> Option<Chain> {
        let object = *self.objects.first()?;
        let point = self.known.piece(object.key)?.point(txid).copied();
        if point.is_none() {
            self.must_know(txid, object);
        }
        point.map(|point| point.state.chain)
    }

    /// The content of a snapshot or delta, if an entry up to `stop` that is covered states it, and such an entry.
    pub(crate) fn vouched(&self, object: Key, stop: Txid) -> Option<(Txid, [u8; 32])> {
        self.vouches(stop)
            .find(|(_, vouch)| vouch.object == object)
            .map(|(by, vouch)| (by, vouch.content))
    }

    /// What the entries up to `stop` that are covered vouch for, and by which entry, the newest objects first.
    pub(crate) fn vouches(&self, stop: Txid) -> impl Iterator<Item = (Txid, Vouch)> {
        let vouches = self.covered(stop).flat_map(|(piece, newest)| {
            piece.vouches.iter().take_while(move |(by, _)| *by <= newest)
        });
        vouches.copied()
    }

    fn must_know(&mut self, txid: Txid, object: Object) {
        self.unknown.push(txid);
        self.unread.push(object);
    }

    fn hole(&self, next: Txid) -> Hole {
        let listing = self.known.listing();
        let end = listing.log.partition_point(|object| object.key <= Key::Log(next));
        let below = listing.log[..end].iter().rev().map(|object| object.key);
        let packs = listing.packs_with(next).map(|object| object.key);
        let fault = |key: Key| {
            let rejected = self.rejected.iter().find(|(rejected, _)| *rejected == key);
            let why = rejected.map(|(_, why)| why.as_str()).or(self.known.fault(key));
            why.map(|why| (key, why.to_owned()))
        };
        // The nearest segment before the hole either ends before it, or should have covered it.
        let nearest = below.clone().next();
        let last_before = nearest.and_then(|key| self.known.piece(key)).map(|piece| piece.last);
        let culprit = nearest.and_then(fault).or_else(|| packs.filter_map(fault).next());
        let first = match (&culprit, last_before) {
            (Some((key, _)), _) => first_of(*key).unwrap_or(next),
            (None, Some(last)) => last.next().min(next),
            (None, None) => next,
        };
        Hole { first, last: next, culprit }
    }
}

/// How two neighbours go together.
enum Link {
    Sound,
    /// The state between them is not known by now.
    Unknown,
    /// Not at all.
    Broken(String),
    /// They do, but the later one has no pages for its size.
    Unborne(Hole),
}

/// What the history says about a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// All about it.
    State(IndexState),
    /// The history up to it.
    Chain(Chain),
}

impl Witness {
    /// The history up to the state.
    pub(crate) fn chain(&self) -> Chain {
        match self {
            Witness::State(point) => point.state.chain,
            Witness::Chain(chain) => *chain,
        }
    }

    /// Whether the state of a snapshot is this one, as far as chain and digest tell.
    pub(crate) fn leads_to(&self, snapshot: &IndexState) -> bool {
        match self {
            Witness::Chain(chain) => *chain == snapshot.state.chain,
            Witness::State(point) => {
                (point.state.chain, point.state.digest, point.state.database_pages)
                    == (snapshot.state.chain, snapshot.state.digest, snapshot.state.database_pages)
            }
        }
    }
}
