//! The hash of what an entry carries: of the hashes of its pages, in ascending order of the pages.
//!
//! The chain covers it through the entry's row, so that a history vouches for every page that its entries carry. It is not
//! linear, as the digest is: nobody can make up other pages with the same content.

use crate::PageHash;

/// Hashes page by page.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Takes the hash of the next page.
    pub fn push(&mut self, hash: PageHash) {
        self.0.update(hash.as_bytes());
    }

    /// The content of the pages so far.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// The content of an entry that carries the pages with these hashes.
pub fn content_of(hashes: impl IntoIterator<Item = PageHash>) -> [u8; 32] {
    let mut hasher = ContentHasher::default();
    hashes.into_iter().for_each(|hash| hasher.push(hash));
    hasher.finish()
}
