//! What vouches for a snapshot: an entry of the history that states its content.
//!
//! The one entry of a snapshot is not under the chain, and the digest of its state is a sum that other pages can be made up
//! for. So somebody who may write to the store could put other pages under the name of a snapshot, but for this: the entry
//! whose pages lie in the snapshot has the snapshot's content as its own, and a snapshot that is made later is named, with
//! its content, in the detail of an entry that comes after it.

use serde::{Deserialize, Serialize};

use crate::text::{hex, parse_hex};
use crate::{Claim, Entry, EntryFlags, EntryKind, Error, Result, Txid};

/// A snapshot, and the content that its entry must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouch {
    /// The entry whose state the snapshot is.
    pub snapshot: Txid,
    /// The content of the snapshot's entry.
    pub content: [u8; 32],
}

/// The keys of its detail.
#[derive(Serialize, Deserialize)]
struct Detail {
    snapshot: Txid,
    content: String,
}

impl Vouch {
    /// The snapshot that `entry` vouches for, if it does.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Vouch> {
        if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
            return Some(Vouch { snapshot: entry.txid, content: entry.content });
        }
        if entry.kind == EntryKind::Image || entry.detail.is_empty() {
            return None;
        }
        let detail: Detail = serde_json::from_slice(&entry.detail).ok()?;
        let content = parse_hex(&detail.content)?;
        (detail.snapshot < entry.txid).then_some(Vouch { snapshot: detail.snapshot, content })
    }

    /// The detail of an entry that vouches for it and is a claim besides, if there is one. Fails if the texts are longer
    /// than a detail may be.
    pub fn to_detail(&self, claim: Option<&Claim>) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Both<'a> {
            #[serde(flatten)]
            claim: Option<&'a Claim>,
            #[serde(flatten)]
            detail: Detail,
        }
        let detail = Detail { snapshot: self.snapshot, content: hex(&self.content) };
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
    use crate::{Digest, Timestamp};

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
    fn a_claim_names_a_snapshot_that_came_before_it_and_is_read_as_a_claim_all_the_same() {
        let who = Claim {
            host: "db1".to_owned(),
            pid: 7,
            session: "5eed".to_owned(),
            version: "0".to_owned(),
            time: Timestamp::EPOCH,
            database: None,
        };
        let vouch = Vouch { snapshot: Txid::new(8).unwrap(), content: [0xab; 32] };
        let entry = claim(vouch.to_detail(Some(&who)).unwrap());
        assert_eq!(Vouch::of(&entry), Some(vouch));
        assert_eq!(Claim::from_detail(&entry.detail).unwrap(), who);
        let later = Vouch { snapshot: Txid::new(9).unwrap(), ..vouch };
        assert_eq!(Vouch::of(&claim(later.to_detail(Some(&who)).unwrap())), None);
        assert_eq!(Vouch::of(&claim(who.to_detail().unwrap())), None);
        let alone =
            Entry { kind: EntryKind::Commit, detail: vouch.to_detail(None).unwrap(), ..entry };
        assert_eq!(Vouch::of(&alone), Some(vouch));
        assert_eq!(Vouch::of(&Entry { kind: EntryKind::Image, ..alone }), None);
    }
}
