//! Back through the history, from one entry towards older ones, over the objects that hold it.

use ebbtide_replica::store::Object;
use ebbtide_replica::{Chain, Key, Txid};

use crate::known::{Known, first_of};
use crate::piece::{Carrier, Piece, Point};

/// Objects with consecutive entries, the newest first. Each one is linked with the one after it by the chain.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    known: &'a Known,
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

impl<'a> Walk<'a> {
    /// Begins with entry `stop`.
    pub(crate) fn new(known: &'a Known, stop: Txid) -> Walk<'a> {
        Walk {
            known,
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
        let pieces = self.objects.iter().filter_map(|object| self.known.piece(object.key));
        pieces.flat_map(|piece| piece.bases.iter().rev()).find(|(txid, _)| *txid <= stop).copied()
    }

    /// What the history says about the state after `txid`, which is covered or comes right before what is covered. A
    /// state that is covered but not known by now is noted as such.
    pub(crate) fn witness(&mut self, txid: Txid) -> Option<Witness> {
        let oldest = self.objects.last()?;
        let piece = self.known.piece(oldest.key)?;
        if piece.contains(txid) {
            let point = piece.point(txid).copied();
            if point.is_none() {
                self.must_know(txid, *oldest);
            }
            return point.map(Witness::State);
        }
        let follows = txid.precedes(piece.first);
        piece.before.filter(|_| follows).map(Witness::Chain)
    }

    /// The object that covers most before `txid`, of those that can be used.
    fn object_with(&self, txid: Txid) -> Option<Object> {
        let usable = |object: &&Object| {
            self.known.is_usable(object.key)
                && self.rejected.iter().all(|(rejected, _)| *rejected != object.key)
        };
        let listing = self.known.listing();
        let packs = listing.packs.iter().filter(usable).filter(|object| {
            matches!(object.key, Key::Pack { first, last } if first <= txid && txid <= last)
        });
        let end = listing.log.partition_point(|object| object.key <= Key::Log(txid));
        let segment =
            listing.log[..end].iter().rev().find(usable).filter(|object| {
                self.known.piece(object.key).is_none_or(|piece| piece.contains(txid))
            });
        packs.chain(segment).min_by_key(|object| first_of(object.key)).copied()
    }

    /// How `piece`, which covers `next`, goes together with the object that begins after it.
    fn link(&self, piece: &Piece, next: Txid) -> Link {
        let after = self.objects.last().and_then(|after| self.known.piece(after.key));
        let Some((after, expected)) = after.and_then(|after| Some((after, after.before?))) else {
            return Link::Sound;
        };
        match piece.point(next) {
            Some(point) if point.chain == expected => Link::Sound,
            Some(_) => Link::Broken(format!(
                "its entry {next} is not the one that entry {} was written after",
                after.first
            )),
            None => Link::Unknown,
        }
    }

    fn must_know(&mut self, txid: Txid, object: Object) {
        self.unknown.push(txid);
        self.unread.push(object);
    }

    fn hole(&self, next: Txid) -> Hole {
        let listing = self.known.listing();
        let end = listing.log.partition_point(|object| object.key <= Key::Log(next));
        let below = listing.log[..end].iter().rev().map(|object| object.key);
        let packs = listing.packs.iter().map(|object| object.key).filter(
            |key| matches!(key, Key::Pack { first, last } if *first <= next && next <= *last),
        );
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
}

/// What the history says about a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// All about it.
    State(Point),
    /// The history up to it.
    Chain(Chain),
}

impl Witness {
    /// Whether the state of a snapshot is this one.
    pub(crate) fn vouches_for(&self, snapshot: &Point) -> bool {
        match self {
            Witness::Chain(chain) => *chain == snapshot.chain,
            Witness::State(point) => {
                (point.chain, point.digest, point.database_pages)
                    == (snapshot.chain, snapshot.digest, snapshot.database_pages)
            }
        }
    }
}
