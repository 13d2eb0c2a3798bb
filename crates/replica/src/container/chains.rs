//! The history up to each entry of an object, not only up to the last.

use super::Index;
use super::rows::{encode_entry, encode_run};
use crate::Chain;

impl Index {
    /// The chain after each entry, in order, if the object holds entries of the history. The last one is the footer's.
    pub fn chains(&self) -> impl Iterator<Item = Chain> {
        let mut entries = self.entries.iter();
        let mut chain = self.header.chain();
        std::iter::from_fn(move || {
            let entry = entries.next()?;
            let row = encode_entry(entry).expect("it was parsed from such a row");
            let runs: Vec<u8> = entry.runs.iter().flat_map(|&run| encode_run(run)).collect();
            chain = chain.map(|chain| chain.next(&row, &runs, &entry.detail));
            chain
        })
    }
}
