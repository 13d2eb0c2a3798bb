//! What is worth being made at the end of an hour or a day: a delta, a snapshot instead, or nothing. A function of what is
//! known, without time and stores.

use ebbtide_replica::Txid;
use ebbtide_shipper::Level;

use super::head_path::{HeadPath, Member};
use super::tail::Since;

/// A delta pays if a restore reads this share less with it…
const HOUR_PERCENT_SAVED_MIN: u64 = 50;

/// …or this one at the end of a day, whose state is kept for longer than its hours': without a delta, its packs are.
const DAY_PERCENT_SAVED_MIN: u64 = 25;

/// …and this many bytes less…
const BYTES_SAVED_MIN: u64 = 1 << 20;

/// …or so many objects fewer, if it does not read more bytes for that…
const OBJECTS_SAVED_MIN: u64 = 8;

/// …than would come in the time that these requests take, each so many.
const OBJECT_BYTES: u64 = 64 << 10;

/// A snapshot is made instead of a delta if the deltas would have more than this share of its bytes, or if the delta would
/// have more than this share of the pages.
pub(crate) const PERCENT_MAX: u64 = 50;

/// With more deltas than this a snapshot is made: an entry has to name all of them.
const DELTAS_MAX: usize = 256;

/// What is worth being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Nothing: the history serves.
    Nothing,
    /// A delta of this level.
    Delta(Level),
    /// A snapshot.
    Snapshot,
}

/// What changed in a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The entry that the level begins after.
    pub(crate) base: Txid,
    /// How many pages changed since.
    pub(crate) pages: u32,
}

/// What is known when an hour or a day ends.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// Nothing if no entry vouches for a snapshot.
    pub(crate) path: Option<&'a HeadPath>,
    pub(crate) since: Since,
    pub(crate) page_bytes: u64,
    pub(crate) database_pages: u32,
    /// Nothing if it is not known what changed.
    pub(crate) hour: Option<Changed>,
    pub(crate) day: Option<Changed>,
    /// Mostly [`PERCENT_MAX`].
    pub(crate) percent_max: u64,
}

/// A delta that could be made.
struct Candidate {
    pages: u32,
    bytes: u64,
    /// How many deltas would stay before it, and their bytes.
    kept: usize,
    kept_bytes: u64,
    /// What a restore reads in its place now.
    read: Since,
}

/// What is worth being made at the end of an hour, or of an hour and a day.
pub(crate) fn worth(ended: Level, known: &Known<'_>) -> Worth {
    let Some(path) = known.path else {
        return if ended == Level::Day { Worth::Snapshot } else { Worth::Nothing };
    };
    if ended == Level::Day {
        match candidate(known, path, known.day) {
            None => return Worth::Snapshot,
            Some(day) if pays(&day, DAY_PERCENT_SAVED_MIN) => {
                return or_snapshot(known, path, &day, Level::Day);
            }
            Some(_) => {}
        }
    }
    match candidate(known, path, known.hour) {
        Some(hour) if pays(&hour, HOUR_PERCENT_SAVED_MIN) => {
            or_snapshot(known, path, &hour, Level::Hour)
        }
        _ if ended == Level::Day && is_outgrown(known, path) => Worth::Snapshot,
        _ => Worth::Nothing,
    }
}

/// Whether most of what a restore reads comes after the snapshot, although no delta would make that less.
fn is_outgrown(known: &Known<'_>, path: &HeadPath) -> bool {
    let objects = known.since.objects.saturating_add(path.deltas.len() as u64);
    let bytes = known.since.bytes.saturating_add(bytes_of(&path.deltas));
    let cost = bytes.saturating_add(objects.saturating_mul(OBJECT_BYTES));
    cost >= BYTES_SAVED_MIN && is_more(cost, path.snapshot.bytes, known.percent_max)
}

fn bytes_of(range: &[Member]) -> u64 {
    range.iter().map(|one| one.bytes).sum()
}

fn is_more(part: u64, of: u64, percent: u64) -> bool {
    u128::from(part) * 100 > u128::from(of) * u128::from(percent)
}

fn candidate(known: &Known<'_>, path: &HeadPath, changed: Option<Changed>) -> Option<Candidate> {
    let Changed { base, pages } = changed?;
    let kept = path.deltas_to(base)?;
    let (before, replaced) = path.deltas.split_at(kept);
    // As well compressed as the snapshot is.
    let snapshot_raw = (u64::from(path.snapshot_pages) * known.page_bytes).max(1);
    let raw = u64::from(pages) * known.page_bytes;
    let bytes_of_delta =
        u128::from(raw) * u128::from(path.snapshot.bytes) / u128::from(snapshot_raw);
    Some(Candidate {
        pages,
        bytes: u64::try_from(bytes_of_delta).unwrap_or(u64::MAX),
        kept,
        kept_bytes: bytes_of(before),
        read: Since {
            objects: known.since.objects + replaced.len() as u64,
            bytes: known.since.bytes + bytes_of(replaced),
        },
    })
}

fn pays(delta: &Candidate, percent_saved_min: u64) -> bool {
    let saved = delta.read.bytes.saturating_sub(delta.bytes);
    let is_less = saved >= BYTES_SAVED_MIN
        && u128::from(saved) * 100 >= u128::from(delta.read.bytes) * u128::from(percent_saved_min);
    let objects_saved = delta.read.objects.saturating_sub(1);
    let in_that_time = objects_saved.saturating_mul(OBJECT_BYTES);
    let is_shorter = objects_saved >= OBJECTS_SAVED_MIN
        && delta.bytes <= delta.read.bytes.saturating_add(in_that_time);
    delta.pages > 0 && (is_less || is_shorter)
}

/// A snapshot is made instead once a restore would read half as much again as the snapshot, or most of the pages twice.
fn or_snapshot(known: &Known<'_>, path: &HeadPath, delta: &Candidate, level: Level) -> Worth {
    let percent = known.percent_max;
    let is_long =
        is_more(delta.kept_bytes.saturating_add(delta.bytes), path.snapshot.bytes, percent);
    let is_most = is_more(delta.pages.into(), known.database_pages.into(), percent);
    if is_long || is_most || delta.kept >= DELTAS_MAX {
        return Worth::Snapshot;
    }
    Worth::Delta(level)
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::{Key, Vouch};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    fn member(object: Key, bytes: u64) -> Member {
        Member { vouch: Vouch { object, content: [0; 32] }, bytes }
    }

    /// A snapshot of 100 MiB of a database of 51,200 pages after entry 10, and deltas that end with these entries.
    fn path(deltas: &[(u64, u64)]) -> HeadPath {
        let mut path = HeadPath::new(member(Key::Snapshot(txid(10)), 100 * MIB), 51_200);
        let mut first = 11;
        for &(last, bytes) in deltas {
            path.deltas.push(member(Key::Delta { first: txid(first), last: txid(last) }, bytes));
            first = last + 1;
        }
        path
    }

    fn known<'a>(path: &'a HeadPath, hour: (u64, u32), day: (u64, u32)) -> Known<'a> {
        let changed = |(base, pages)| Some(Changed { base: txid(base), pages });
        Known {
            path: Some(path),
            since: Since::default(),
            page_bytes: 4096,
            database_pages: 51_200,
            hour: changed(hour),
            day: changed(day),
            percent_max: PERCENT_MAX,
        }
    }

    fn since(objects: u64, bytes: u64) -> Since {
        Since { objects, bytes }
    }

    #[test]
    fn a_delta_is_made_if_it_halves_what_is_read_or_saves_eight_objects() {
        let path = path(&[]);
        // 512 pages are one MiB, compressed as the snapshot is.
        let hour = |pages, since| {
            worth(Level::Hour, &Known { since, ..known(&path, (10, pages), (10, pages)) })
        };
        assert_eq!(hour(512, since(3, 2 * MIB)), Worth::Delta(Level::Hour));
        assert_eq!(hour(512, since(3, 2 * MIB - 1)), Worth::Nothing);
        assert_eq!(hour(5120, since(3, 19 * MIB)), Worth::Nothing);
        assert_eq!(hour(5120, since(3, 20 * MIB)), Worth::Delta(Level::Hour));
        assert_eq!(hour(512, since(8, MIB)), Worth::Nothing);
        assert_eq!(hour(512, since(9, MIB / 2)), Worth::Delta(Level::Hour));
        // Claims alone change nothing.
        assert_eq!(hour(0, since(99, 0)), Worth::Nothing);
    }

    /// As random commits are: packs have each page once, and a delta would have them once more.
    #[test]
    fn fewer_objects_are_not_worth_many_more_bytes() {
        let path = path(&[]);
        let hour = |pages, since| {
            worth(Level::Hour, &Known { since, ..known(&path, (10, pages), (10, pages)) })
        };
        // 2,560 pages are five MiB.
        assert_eq!(hour(2560, since(5, 5 * MIB + 1)), Worth::Nothing);
        assert_eq!(hour(2560, since(9, 4 * MIB + MIB / 2)), Worth::Delta(Level::Hour));
        assert_eq!(hour(2560, since(9, 4 * MIB + MIB / 2 - 1)), Worth::Nothing);
        assert_eq!(hour(2560, since(17, 4 * MIB)), Worth::Delta(Level::Hour));
    }

    #[test]
    fn a_day_ends_with_a_snapshot_if_the_history_is_half_of_one_and_no_delta_makes_it_less() {
        let path = path(&[(20, 10 * MIB)]);
        let at = |ended, since| {
            worth(ended, &Known { since, ..known(&path, (20, 25_000), (20, 25_000)) })
        };
        // With the delta before it, and a sixteenth of a MiB for each object.
        let half = 39 * MIB + MIB / 2;
        assert_eq!(at(Level::Day, since(7, half)), Worth::Nothing);
        assert_eq!(at(Level::Day, since(7, half + 1)), Worth::Snapshot);
        assert_eq!(at(Level::Hour, since(7, half + 1)), Worth::Nothing);
        let small = HeadPath::new(member(Key::Snapshot(txid(10)), MIB / 4), 60);
        let day = |since| {
            worth(
                Level::Day,
                &Known { since, database_pages: 60, ..known(&small, (10, 60), (10, 60)) },
            )
        };
        let little = MIB - 7 * MIB / 16;
        assert_eq!(day(since(7, little - 1)), Worth::Nothing);
        assert_eq!(day(since(7, little)), Worth::Snapshot);
    }

    #[test]
    fn a_day_takes_the_place_of_its_hours_if_that_pays() {
        let hours: Vec<(u64, u64)> = (2..=10).map(|hour| (hour * 10, MIB)).collect();
        let path_of_hours = path(&hours);
        let day = |pages| worth(Level::Day, &known(&path_of_hours, (100, 1), (10, pages)));
        assert_eq!(day(1024), Worth::Delta(Level::Day), "nine objects become one");
        let few = path(&hours[..3]);
        let day = |pages| worth(Level::Day, &known(&few, (40, 1), (10, pages)));
        assert_eq!(day(1024), Worth::Delta(Level::Day), "three MiB become two");
        assert_eq!(day(1025), Worth::Nothing, "a MiB is not saved");
        let one = path(&[(20, 8 * MIB)]);
        let day = |pages| worth(Level::Day, &known(&one, (20, 1), (10, pages)));
        assert_eq!(day(3072), Worth::Delta(Level::Day), "a quarter is saved");
        assert_eq!(day(3073), Worth::Nothing);
        // The last hour may pay all the same.
        let since = since(20, 0);
        let both = Known { since, ..known(&few, (40, 100), (10, 1024)) };
        assert_eq!(worth(Level::Day, &both), Worth::Delta(Level::Day));
        let young = path(&[(20, 4 * MIB)]);
        let both = Known { since, ..known(&young, (20, 100), (20, 100)) };
        assert_eq!(worth(Level::Day, &both), Worth::Delta(Level::Day));
    }

    #[test]
    fn a_snapshot_is_made_once_the_deltas_are_half_of_one_or_most_pages_changed() {
        let long = path(&[(20, 45 * MIB), (30, MIB)]);
        let many = since(9, 5 * MIB);
        let hour = |pages| {
            worth(Level::Hour, &Known { since: many, ..known(&long, (30, pages), (10, 1)) })
        };
        assert_eq!(hour(512), Worth::Delta(Level::Hour));
        assert_eq!(hour(5 * 512), Worth::Snapshot);
        let new = path(&[]);
        let most = Known { since: many, database_pages: 100, ..known(&new, (10, 51), (10, 51)) };
        assert_eq!(worth(Level::Hour, &most), Worth::Snapshot);
    }

    #[test]
    fn where_it_is_not_known_what_changed_a_day_ends_with_a_snapshot_and_an_hour_with_nothing() {
        let path = path(&[(20, MIB)]);
        let lost =
            Known { hour: None, day: None, since: since(99, 0), ..known(&path, (20, 1), (20, 1)) };
        assert_eq!(worth(Level::Hour, &lost), Worth::Nothing);
        assert_eq!(worth(Level::Day, &lost), Worth::Snapshot);
        // Nothing leads to the state that the levels begin with.
        let apart = Known { since: since(99, 0), ..known(&path, (25, 9), (25, 9)) };
        assert_eq!(worth(Level::Hour, &apart), Worth::Nothing);
        assert_eq!(worth(Level::Day, &apart), Worth::Snapshot);
        let none = Known { path: None, ..apart };
        assert_eq!(worth(Level::Day, &none), Worth::Snapshot);
    }
}
