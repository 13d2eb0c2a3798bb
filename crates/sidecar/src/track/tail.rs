//! What a restore of the newest state reads of the log, after the snapshot and the deltas that it begins with: packs, and
//! segments that are in none yet. Known from what was put, and at first from a listing.

use std::collections::VecDeque;

use ebbtide_catalog::Part;
use ebbtide_replica::{Key, Txid};
use ebbtide_shipper::LogObject;

/// With more objects than this, the oldest are counted together.
const PIECES_MAX: usize = 8192;

/// How much a restore reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Since {
    /// How many objects, once the segments are packed.
    pub(crate) objects: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
}

/// One object, or several that are counted together.
#[derive(Debug, Clone, Copy)]
struct Piece {
    first: Txid,
    last: Txid,
    objects: u64,
    bytes: u64,
    /// Whether it is a segment that becomes part of a pack.
    is_loose: bool,
}

/// The objects after a state, in the order of their entries.
#[derive(Debug)]
pub(crate) struct Tail {
    /// How many segments become a pack.
    pack_segments: u64,
    /// The state that the snapshot and the deltas lead to.
    begin: Option<Txid>,
    pieces: VecDeque<Piece>,
    /// The bytes of the last packs…
    packed: u64,
    /// …and of the segments that they were made of.
    merged: u64,
}

impl Tail {
    /// One without objects. So many segments become a pack.
    pub(crate) fn new(pack_segments: u64) -> Tail {
        let pieces = VecDeque::new();
        Tail { pack_segments: pack_segments.max(1), begin: None, pieces, packed: 0, merged: 0 }
    }

    /// It begins after `begin` with what was listed there; what was added meanwhile comes after that.
    pub(crate) fn found(&mut self, begin: Txid, listed: &[Part]) {
        let end = listed.last().map(|part| part.last);
        let later = std::mem::take(&mut self.pieces);
        self.pieces.extend(listed.iter().map(|part| {
            let (first, last) = match part.object.key {
                Key::Pack { first, last } => (first, last),
                _ => (part.first, part.last),
            };
            let is_segment = matches!(part.object.key, Key::Log(_));
            let object = LogObject { first, last, bytes: part.object.size, merged: None };
            let is_loose = is_segment && object.is_packed_later();
            Piece { first, last, objects: 1, bytes: object.bytes, is_loose }
        }));
        self.pieces.extend(later.into_iter().filter(|piece| Some(piece.last) > end));
        self.begin_after(begin);
    }

    /// A snapshot or delta leads to this state now.
    pub(crate) fn begin_after(&mut self, begin: Txid) {
        self.begin = Some(begin);
        self.pieces.retain(|piece| piece.last > begin);
    }

    /// Takes note of a segment or pack that is durable.
    pub(crate) fn add(&mut self, object: LogObject) {
        if let Some(merged) = object.merged {
            // What the last ones were made of says the most about the next one.
            self.packed = self.packed / 2 + object.bytes;
            self.merged = self.merged / 2 + merged;
        }
        let LogObject { first, last, bytes, .. } = object;
        if Some(last) <= self.begin {
            return;
        }
        if object.merged.is_some() {
            let is_in_it = |piece: &Piece| first <= piece.first && piece.last <= last;
            self.pieces.retain(|piece| !is_in_it(piece));
        }
        let is_loose = object.is_packed_later();
        let at = self.pieces.partition_point(|piece| piece.first < first);
        self.pieces.insert(at, Piece { first, last, objects: 1, bytes, is_loose });
        if self.pieces.len() > PIECES_MAX {
            self.fold();
        }
    }

    /// Counts the oldest two together.
    fn fold(&mut self) {
        let Some(oldest) = self.pieces.pop_front() else { return };
        let Some(next) = self.pieces.front_mut() else { return };
        *next = Piece {
            first: oldest.first,
            objects: oldest.objects + next.objects,
            bytes: oldest.bytes + next.bytes,
            ..*next
        };
    }

    /// What a restore reads once the segments are packed, as small as the last packs were.
    pub(crate) fn read(&self) -> Since {
        let (mut loose, mut rest) = (Since::default(), Since::default());
        for piece in &self.pieces {
            let sum = if piece.is_loose { &mut loose } else { &mut rest };
            sum.objects += piece.objects;
            sum.bytes = sum.bytes.saturating_add(self.share(piece));
        }
        let packed = match self.merged {
            0 => loose.bytes,
            merged => share(loose.bytes, self.packed, merged),
        };
        Since {
            objects: rest.objects + loose.objects.div_ceil(self.pack_segments),
            bytes: rest.bytes.saturating_add(packed),
        }
    }

    /// The bytes of those entries of an object that come after the beginning.
    fn share(&self, piece: &Piece) -> u64 {
        let Some(begin) = self.begin.filter(|begin| *begin >= piece.first) else {
            return piece.bytes;
        };
        let (all, after) =
            (piece.last.get() - piece.first.get() + 1, piece.last.get() - begin.get());
        share(piece.bytes, after, all)
    }
}

/// `part` of `of` of `bytes`.
fn share(bytes: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ebbtide_store::Object;

    use super::*;

    const FULL: u64 = 256;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    fn segment(number: u64, bytes: u64) -> LogObject {
        LogObject { first: txid(number), last: txid(number), bytes, merged: None }
    }

    fn pack(first: u64, last: u64, bytes: u64, merged: u64) -> LogObject {
        LogObject { first: txid(first), last: txid(last), bytes, merged: Some(merged) }
    }

    fn read(tail: &Tail) -> (u64, u64) {
        let Since { objects, bytes } = tail.read();
        (objects, bytes)
    }

    #[test]
    fn a_pack_takes_the_place_of_its_segments_and_says_how_small_the_next_one_will_be() {
        let mut tail = Tail::new(FULL);
        let full = FULL;
        (1..=2 * full).for_each(|number| tail.add(segment(number, 3000)));
        assert_eq!(read(&tail), (2, 2 * full * 3000), "nothing was packed yet");
        tail.add(pack(1, full, full * 300, full * 3000));
        assert_eq!(read(&tail), (2, 2 * full * 300));
        let more = 2 * full + 1..=2 * full + 6;
        more.for_each(|number| tail.add(segment(number, 3000)));
        assert_eq!(read(&tail), (3, (2 * full + 6) * 300));
        // A segment that stays as it is.
        tail.add(segment(2 * full + 7, 1 << 20));
        assert_eq!(read(&tail), (4, (2 * full + 6) * 300 + (1 << 20)));
    }

    #[test]
    fn what_a_delta_leads_over_is_not_read() {
        let mut tail = Tail::new(FULL);
        (1..=100).for_each(|number| tail.add(segment(number, 1000)));
        tail.begin_after(txid(40));
        assert_eq!(read(&tail), (1, 60_000));
        // The pack has entries of before and after.
        tail.add(pack(1, 80, 8000, 80_000));
        assert_eq!(read(&tail), (2, 4000 + 2000), "half of the pack, and twenty segments");
        tail.begin_after(txid(80));
        assert_eq!(read(&tail), (1, 2000));
        tail.add(pack(1, 80, 8000, 80_000));
        assert_eq!(read(&tail), (1, 2000), "another one made it, too");
        tail.begin_after(txid(100));
        assert_eq!(read(&tail), (0, 0));
    }

    #[test]
    fn what_is_put_while_the_replica_is_listed_is_counted_once() {
        let mut tail = Tail::new(FULL);
        (5..=9).for_each(|number| tail.add(segment(number, 1000)));
        let part = |key, first, last, size| Part {
            object: Object::new(key, size),
            first: txid(first),
            last: txid(last),
        };
        let pack = Key::Pack { first: txid(1), last: txid(4) };
        let listed = [
            part(pack, 3, 4, 400),
            part(Key::Log(txid(5)), 5, 5, 1000),
            part(Key::Log(txid(6)), 6, 7, 1 << 20),
        ];
        tail.found(txid(2), &listed);
        assert_eq!(read(&tail), (3, 200 + 3000 + (1 << 20)));
    }

    #[test]
    fn however_many_objects_there_are_few_are_kept_in_mind() {
        let mut tail = Tail::new(FULL);
        let large = 5 << 20;
        (1..=10_000).for_each(|number| tail.add(segment(number, large)));
        assert_eq!(tail.pieces.len(), PIECES_MAX);
        assert_eq!(read(&tail), (10_000, 10_000 * large));
    }
}
