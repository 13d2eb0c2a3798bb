//! What vouches for a snapshot or a delta: an entry of the history that states its content.
//!
//! The one entry of such an object is not under the chain, and the digest of its state is a sum that other pages can be
//! made up for. So somebody who may write to the store could put other pages under its name, but for this: the entry
//! whose pages lie in a snapshot has the snapshot's content as its own, and what is made later is named, with its content,
//! in the detail of an entry that comes after it. Such a detail names all objects on the way to the newest of them, the
//! snapshot and each delta, so that whoever finds it needs no older entry.

use serde::{Deserialize, Serialize};

use crate::text::{hex, parse_hex};
use crate::{Claim, Entry, EntryFlags, EntryKind, Error, Key, Result};

/// A snapshot or delta, and the content that its entry must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouch {
    /// The object.
    pub object: Key,
    /// The content of its entry.
    pub content: [u8; 32],
}

/// The key of a detail.
#[derive(Serialize, Deserialize)]
struct Detail {
    vouches: Vec<Vouched>,
}

/// One object in the detail.
#[derive(Serialize, Deserialize)]
struct Vouched {
    name: Key,
    content: String,
}

impl Vouch {
    /// What `entry` vouches for, in the order in which it says so.
    #[must_use]
    pub fn all_of(entry: &Entry) -> Vec<Vouch> {
        if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
            return vec![Vouch { object: Key::Snapshot(entry.txid), content: entry.content }];
        }
        if entry.kind == EntryKind::Image || entry.detail.is_empty() {
            return Vec::new();
        }
        let Ok(Detail { vouches }) = serde_json::from_slice(&entry.detail) else {
            return Vec::new();
        };
        let is_before =
            |vouch: &Vouch| vouch.object.state().is_some_and(|state| state < entry.txid);
        let vouches = vouches.into_iter().filter_map(|Vouched { name, content }| {
            Some(Vouch { object: name, content: parse_hex(&content)? })
        });
        vouches.filter(is_before).collect()
    }

    /// The detail of an entry that vouches for all of these and is a claim besides, if there is one. Fails if the texts are
    /// longer than a detail may be.
    pub fn to_detail(vouches: &[Vouch], claim: Option<&Claim>) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Both<'a> {
            #[serde(flatten)]
            claim: Option<&'a Claim>,
            #[serde(flatten)]
            detail: Detail,
        }
        let vouched = vouches
            .iter()
            .map(|vouch| Vouched { name: vouch.object, content: hex(&vouch.content) });
        let detail = Detail { vouches: vouched.collect() };
        let json = serde_json::to_vec(&Both { claim, detail });
        let json = json.map_err(|error| Error::unwritable("the claim", error.to_string()))?;
        if json.len() > Entry::DETAIL_MAX {
            return Err(Error::unwritable("the claim", format!("it has {} bytes", json.len())));
        }
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Timestamp, Txid};

    fn claim(detail: Vec<u8>) -> Entry {
        Entry {
            txid: Txid::new(9).unwrap(),
            kind: EntryKind::Claim,
            flags: EntryFlags::NONE,
            time: Timestamp::EPOCH,
            database_pages: 3,
            page_count: 0,
            digest: Digest::EMPTY,
            content: [0; 32],
            detail,
            runs: Vec::new(),
        }
    }

    #[test]
    fn a_claim_names_objects_that_came_before_it_and_is_read_as_a_claim_all_the_same() {
        let who = Claim {
            host: "db1".to_owned(),
            pid: 7,
            session: "5eed".to_owned(),
            version: "0".to_owned(),
            time: Timestamp::EPOCH,
            database: None,
            manifest: None,
        };
        let txid = |number| Txid::new(number).unwrap();
        let delta = Key::Delta { first: txid(6), last: txid(8) };
        let path = [
            Vouch { object: Key::Snapshot(txid(5)), content: [0xab; 32] },
            Vouch { object: delta, content: [0xcd; 32] },
        ];
        let entry = claim(Vouch::to_detail(&path, Some(&who)).unwrap());
        assert_eq!(Vouch::all_of(&entry), path);
        assert_eq!(Claim::from_detail(&entry.detail).unwrap(), who);
        for object in [Key::Snapshot(txid(9)), Key::Log(txid(3)), Key::Manifest] {
            let other = [Vouch { object, ..path[0] }, path[1]];
            let entry = claim(Vouch::to_detail(&other, Some(&who)).unwrap());
            assert_eq!(Vouch::all_of(&entry), [path[1]], "{object}");
        }
        assert_eq!(Vouch::all_of(&claim(who.to_detail().unwrap())), []);
        let detail = Vouch::to_detail(&path, None).unwrap();
        let alone = Entry { kind: EntryKind::Commit, detail, ..entry };
        assert_eq!(Vouch::all_of(&alone), path);
        assert_eq!(Vouch::all_of(&Entry { kind: EntryKind::Image, ..alone }), []);
    }

    #[test]
    fn a_path_that_is_too_long_for_a_detail_is_refused() {
        let vouch = Vouch { object: Key::Snapshot(Txid::FIRST), content: [0; 32] };
        assert!(Vouch::to_detail(&[vouch; 400], None).is_ok());
        assert!(Vouch::to_detail(&[vouch; 1000], None).is_err());
    }
}
