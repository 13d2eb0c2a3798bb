//! The hashes of a whole database and of a history.

use std::str::FromStr;

use ebbtide_time::ParseError;

use crate::text::{parse_hex, shown_as_hex};
use crate::{PageHash, ReplicaId};

/// What the root of a chain is derived under.
const GENESIS_CONTEXT: &str = "ebbtide 2026-11 chain genesis";

/// The state of a whole database: the XOR of the hashes of all its pages but the lock page. A commit changes it by
/// toggling the old hash of each page out and the new one in. It guards against accident, not against an adversary who
/// chooses pages: the [`Chain`] vouches for it, and it is no commitment on its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// That of a database without pages.
    pub const EMPTY: Digest = Digest([0; 16]);

    /// With `hash` taken in if it was out, and out if it was in.
    #[must_use]
    pub fn toggle(self, hash: PageHash) -> Digest {
        Digest((u128::from_ne_bytes(self.0) ^ u128::from_ne_bytes(*hash.as_bytes())).to_ne_bytes())
    }

    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Digest {
        Digest(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The digest of a database with exactly these pages.
impl FromIterator<PageHash> for Digest {
    fn from_iter<I: IntoIterator<Item = PageHash>>(hashes: I) -> Digest {
        hashes.into_iter().fold(Digest::EMPTY, Digest::toggle)
    }
}

/// A whole history up to one entry: each entry's hash is keyed with the chain before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Stands where there is no chain: in the header of a delta or snapshot.
    pub const NONE: Chain = Chain([0; 32]);

    /// That of a replica without entries.
    #[must_use]
    pub fn genesis(replica: ReplicaId) -> Chain {
        Chain(blake3::derive_key(GENESIS_CONTEXT, replica.as_bytes()))
    }

    /// After one more entry, of which `record` is the row in the index, `runs` are the rows of its runs, and `detail`
    /// is its detail.
    #[must_use]
    pub fn next(self, record: &[u8], runs: &[u8], detail: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(record).update(runs).update(detail);
        Chain(*hasher.finalize().as_bytes())
    }

    /// The chain with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Chain {
        Chain(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

shown_as_hex!(Digest, Chain);

impl FromStr for Chain {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Chain, ParseError> {
        let bytes = parse_hex(text)
            .ok_or_else(|| ParseError::new("a chain: 64 hexadecimal digits", text))?;
        Ok(Chain(bytes))
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::PageNumber;

    use super::*;
    use crate::page_hash;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn a_digest_forgets_the_order_and_what_was_toggled_twice() {
        let hashes: Vec<PageHash> = (1..=3).map(|n| page_hash(page(n), &[0; 512])).collect();
        let all: Digest = hashes.iter().copied().collect();
        assert_eq!(all, hashes.iter().rev().copied().collect());
        assert_eq!(all.toggle(hashes[1]), [hashes[0], hashes[2]].into_iter().collect());
        assert_eq!(all.toggle(hashes[0]).toggle(hashes[1]).toggle(hashes[2]), Digest::EMPTY);
    }

    #[test]
    fn a_chain_depends_on_the_replica_and_on_each_part() {
        let root = Chain::genesis(ReplicaId::from_bytes([1; 16]));
        assert_ne!(root, Chain::genesis(ReplicaId::from_bytes([2; 16])));
        let next = root.next(b"record", b"runs", b"detail");
        for other in [
            root.next(b"recorD", b"runs", b"detail"),
            root.next(b"record", b"runS", b"detail"),
            root.next(b"record", b"runs", b"detaiL"),
            next.next(b"record", b"runs", b"detail"),
        ] {
            assert_ne!(next, other);
        }
    }
}
