//! Page 1 without what every allocation and every commit writes there.
//!
//! SQLite keeps the size of the database, the beginning and the length of the list of free pages (bytes 24 to 39), a
//! counter of changes (24 to 27, and again 92 to 95) and the version that wrote last (96 to 99) in its header; see
//! "The Database Header" in SQLite's file format. None of them can change the answer to a question. Everything else on the
//! page is the rest of the header and the beginning of the schema.
//!
//! Whoever changes the schema also counts the schema cookie up (bytes 40 to 43), so within a history without gaps a page 1
//! that is the same at two states was the same at all states in between. That is why it is enough to compare it where the
//! question is asked, and why the entry that changed it can be found by bisection.

use ebbtide_moment::Moment;
use ebbtide_wal::PageNumber;

use crate::error::Result;

/// What of page 1 can change an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageOne([u8; 32]);

impl PageOne {
    /// That of a moment. On a thread that may wait.
    pub(crate) fn of(moment: &Moment) -> Result<PageOne> {
        let page = moment.replica().runtime().block_on(moment.page(PageNumber::ONE))?;
        Ok(PageOne::of_bytes(&page))
    }

    fn of_bytes(page: &[u8]) -> PageOne {
        let mut hasher = blake3::Hasher::new();
        for range in [0..24, 40..92, 100..page.len()] {
            hasher.update(page.get(range).unwrap_or_default());
        }
        PageOne(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_allocation_writes_does_not_count_and_everything_else_does() {
        let page: Vec<u8> = (0..512_u32).map(|byte| (byte % 251) as u8).collect();
        let differing = (0..page.len()).filter(|&at| {
            let mut other = page.clone();
            other[at] ^= 0xff;
            PageOne::of_bytes(&other) != PageOne::of_bytes(&page)
        });
        let expected = (0..24).chain(40..92).chain(100..512);
        assert!(differing.eq(expected));
    }
}
