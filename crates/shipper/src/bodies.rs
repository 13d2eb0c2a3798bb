//! The bodies of the segments that were put last, of all databases of the process: packs are made from them, so that
//! segments are not read back from the store. What is not here is read back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ebbtide_replica::{ReplicaId, Txid};

/// All bodies together have no more bytes than this; then the oldest are forgotten.
const BODIES_BYTES_MAX: usize = 32 << 20;

/// What a body takes beside its bytes.
const OVERHEAD: usize = 128;

/// Those of the process.
pub(crate) static BODIES: LazyLock<Bodies> = LazyLock::new(|| Bodies::new(BODIES_BYTES_MAX));

/// Bodies of segments, by replica and first txid.
#[derive(Debug)]
pub(crate) struct Bodies {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bodies: BTreeMap<(ReplicaId, Txid), Bytes>,
    /// In the order in which they came; also some that were taken out since.
    order: VecDeque<(ReplicaId, Txid)>,
    bytes: usize,
}

impl Bodies {
    pub(crate) fn new(bytes_max: usize) -> Bodies {
        Bodies { bytes_max, kept: Mutex::default() }
    }

    /// Keeps a copy of a body: the memory of the original may be larger than it is.
    pub(crate) fn keep(&self, replica: ReplicaId, first: Txid, body: &[u8]) {
        let mut kept = self.kept();
        kept.remove((replica, first));
        kept.bodies.insert((replica, first), Bytes::copy_from_slice(body));
        kept.order.push_back((replica, first));
        kept.bytes += body.len() + OVERHEAD;
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.remove(oldest);
        }
        // Those that were taken out are many only if few are left.
        if kept.order.len() > 2 * kept.bodies.len() + 16 {
            let Kept { bodies, order, .. } = &mut *kept;
            order.retain(|key| bodies.contains_key(key));
        }
    }

    pub(crate) fn get(&self, replica: ReplicaId, first: Txid) -> Option<Bytes> {
        self.kept().bodies.get(&(replica, first)).cloned()
    }

    /// Forgets the bodies of a replica up to this entry, which are in a pack.
    pub(crate) fn forget_through(&self, replica: ReplicaId, last: Txid) {
        let mut kept = self.kept();
        let range = (replica, Txid::FIRST)..=(replica, last);
        let packed: Vec<_> = kept.bodies.range(range).map(|(key, _)| *key).collect();
        packed.into_iter().for_each(|key| kept.remove(key));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: (ReplicaId, Txid)) {
        if let Some(body) = self.bodies.remove(&key) {
            self.bytes -= body.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_those_in_packs_at_once() {
        let (one, other) = (ReplicaId::from_bytes([1; 16]), ReplicaId::from_bytes([2; 16]));
        let txid = |number| Txid::new(number).unwrap();
        let bodies = Bodies::new(10 * (100 + OVERHEAD));
        for number in 1..=5 {
            bodies.keep(one, txid(number), &[1; 100]);
            bodies.keep(other, txid(number), &[2; 100]);
        }
        let there = |replica| -> Vec<u64> {
            (1..=9).filter(|&number| bodies.get(replica, txid(number)).is_some()).collect()
        };
        assert_eq!((there(one), there(other)), (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5]));
        bodies.keep(one, txid(6), &[1; 150]);
        assert_eq!((there(one), there(other)), (vec![2, 3, 4, 5, 6], vec![2, 3, 4, 5]));
        bodies.forget_through(one, txid(4));
        assert_eq!((there(one), there(other)), (vec![5, 6], vec![2, 3, 4, 5]));
        // As much room as was taken.
        for number in 7..=9 {
            bodies.keep(one, txid(number), &[1; 100]);
        }
        assert_eq!((there(one), there(other)), (vec![5, 6, 7, 8, 9], vec![2, 3, 4, 5]));
        bodies.keep(one, txid(1), &[1; 10_000]);
        assert_eq!((there(one), there(other)), (vec![], vec![]));
    }
}
