//! Which objects are read for the entries of a history, each once.

use std::cmp::Reverse;

use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

use crate::Listing;

/// The objects that hold the history from `window` on, in its order: packs, and segments for what is in no pack. Packs that
/// two processes have made may overlap.
#[must_use]
pub fn chronology(listing: &Listing, window: Txid) -> Vec<Object> {
    let mut objects: Vec<Object> = listing.packs.iter().chain(&listing.log).copied().collect();
    let last_before = listing.segment_of(window).map(|object| object.key);
    objects.retain(|object| match object.key {
        Key::Pack { last, .. } => last >= window,
        // The last segment that begins before the window may reach into it.
        Key::Log(first) => first >= window || Some(object.key) == last_before,
        _ => false,
    });
    objects.sort_by_key(|object| match object.key {
        Key::Pack { first, last } => (Some(first), Reverse(Some(last))),
        Key::Log(first) => (Some(first), Reverse(None)),
        _ => (None, Reverse(None)),
    });
    let mut packed = None;
    objects.retain(|object| match object.key {
        Key::Pack { last, .. } if Some(last) > packed => {
            packed = Some(last);
            true
        }
        Key::Log(first) => Some(first) > packed,
        _ => false,
    });
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_read_from_packs_and_from_segments_that_are_in_none() {
        let txid = |number| Txid::new(number).unwrap();
        let object = |key| Object::new(key, 1);
        let log = (1..=9).map(|number| object(Key::Log(txid(number)))).collect();
        let pack = |first, last| object(Key::Pack { first: txid(first), last: txid(last) });
        let packs = vec![pack(2, 3), pack(2, 4), pack(4, 6)];
        let listing = Listing { log, packs, ..Listing::default() };
        let keys: Vec<String> =
            chronology(&listing, Txid::FIRST).iter().map(|object| object.key.to_string()).collect();
        let short: Vec<&str> = keys.iter().map(|key| key.trim_end_matches(".seg")).collect();
        let segment = |number: u64| format!("log/{number:016x}");
        let packed = |first: u64, last: u64| format!("pack/{first:016x}-{last:016x}");
        let expected = [segment(1), packed(2, 4), packed(4, 6), segment(7), segment(8), segment(9)];
        assert_eq!(short, expected);
    }
}
