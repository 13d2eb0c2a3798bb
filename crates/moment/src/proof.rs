//! How far what is read is proved.

use std::fmt;

/// What was checked of the pages of a moment. Either way the chain leads from the log to each object, the root of each
/// object covers its header and index, and each block has the CRC32 that its row states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// No more than that. It holds against accidents, and not against somebody who may write to the store and knows the
    /// format: a root is not under the chain.
    Block,
    /// Before the first page is served, the hashes of all pages were proved against the contents of the entries that carry
    /// them and against the digest of the moment's entry; and each page has its hash. It costs 16 bytes a page.
    Page,
}

impl Proof {
    /// Its name, for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Proof::Block => "block",
            Proof::Page => "page",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Block => "read from sound blocks",
            Proof::Page => "proved page by page against the digest",
        })
    }
}
