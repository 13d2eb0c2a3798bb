//! The order in which objects are copied: a pure function of a listing.

use ebbtide_catalog::{Listing, first_of};
use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

/// An object to copy, and the segments that have the same entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) object: Object,
    /// Copied in its place if it is damaged.
    pub(crate) instead: Vec<Object>,
}

/// The objects of a listing in the order of the history. A snapshot or delta comes before the entry that it leads to,
/// because that entry may name it, or need its pages. Segments whose entries are in a pack are left out.
pub(crate) fn in_order(listing: &Listing) -> Vec<Item> {
    let mut covered: Vec<Vec<Object>> = vec![Vec::new(); listing.packs.len()];
    let mut items = Vec::new();
    for (at, &segment) in listing.log.iter().enumerate() {
        let last = listing.log.get(at + 1).and_then(|next| first_of(next.key)?.previous());
        match listing.packs.iter().position(|pack| covers(pack.key, segment.key, last)) {
            Some(pack) => covered[pack].push(segment),
            None => items.push(Item { object: segment, instead: Vec::new() }),
        }
    }
    let packs = listing.packs.iter().zip(covered);
    items.extend(packs.map(|(&object, instead)| Item { object, instead }));
    let states = listing.snapshots.iter().chain(&listing.deltas);
    items.extend(states.map(|&object| Item { object, instead: Vec::new() }));
    items.sort_by_key(|item| place(item.object.key));
    items
}

/// Where an object comes: by the entry before which it must be there.
fn place(key: Key) -> (Option<Txid>, bool, Key) {
    let is_history = matches!(key, Key::Log(_) | Key::Pack { .. });
    let txid = match key {
        Key::Log(first) | Key::Pack { first, .. } => Some(first),
        Key::Snapshot(txid) | Key::Delta { last: txid, .. } => Some(txid),
        Key::Manifest | Key::Horizon(_) | Key::Mark { .. } | Key::Wrapped { .. } => None,
    };
    (txid, is_history, key)
}

/// Whether a pack has all entries of the segment, which ends with `last` at the latest. The newest segment has an end
/// that no name tells, and is never left out.
fn covers(pack: Key, segment: Key, last: Option<Txid>) -> bool {
    match (pack, segment, last) {
        (Key::Pack { first: begin, last: end }, Key::Log(first), Some(last)) => {
            begin <= first && last <= end
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> Object {
        let numbered = |digits: &str| format!("{:0>16}", digits);
        let (directory, numbers) = name.split_once('/').unwrap();
        let numbers: Vec<String> = numbers.split('-').map(numbered).collect();
        let name = format!("{directory}/{}.seg", numbers.join("-"));
        Object::new(Key::parse(&name).unwrap(), 1)
    }

    fn listing(names: &[&str]) -> Listing {
        let of = |directory: &str| {
            let named = names.iter().filter(|name| name.starts_with(directory));
            named.map(|name| object(name)).collect()
        };
        Listing {
            log: of("log/"),
            packs: of("pack/"),
            deltas: of("delta/"),
            snapshots: of("snap/"),
            junk: Vec::new(),
        }
    }

    fn ordered(names: &[&str]) -> Vec<Object> {
        in_order(&listing(names)).into_iter().map(|item| item.object).collect()
    }

    #[test]
    fn what_an_entry_needs_comes_before_it() {
        let names = ["log/1", "log/2", "log/5", "snap/2", "snap/5", "delta/3-5"];
        let expected = ["log/1", "snap/2", "log/2", "snap/5", "delta/3-5", "log/5"];
        let mut found = ordered(&names);
        // Of a snapshot and a delta to the same entry either may be first.
        found[3..5].sort_by_key(|object| matches!(object.key, Key::Delta { .. }));
        assert_eq!(found, expected.map(object));
    }

    #[test]
    fn a_segment_that_is_in_a_pack_is_left_out_and_the_newest_never() {
        let names = ["log/1", "log/2", "log/4", "log/6", "pack/2-5"];
        assert_eq!(ordered(&names), ["log/1", "pack/2-5", "log/6"].map(object));
        let item = in_order(&listing(&names)).into_iter().nth(1).unwrap();
        assert_eq!(item.instead, ["log/2", "log/4"].map(object));
        // Its end is not known: it may reach beyond the pack.
        assert_eq!(ordered(&["log/2", "pack/2-5"]).len(), 2);
        // A name after a gap says nothing about the end of the one before.
        assert_eq!(ordered(&["log/2", "log/9", "pack/2-5"]).len(), 3);
    }
}
