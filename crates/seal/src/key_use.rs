//! What a secret key opens.

use std::fmt;
use std::str::FromStr;

use ebbtide_time::{ParseError, serde_as_text};

/// The two classes of secret keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// The images of pages: what the database held.
    Pages,
    /// Entries, page numbers, page hashes and documents: all that is needed to continue a replica and to prove it.
    Index,
}

impl KeyUse {
    /// Its name, which stands in the key of each object, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KeyUse::Pages => "pages",
            KeyUse::Index => "index",
        }
    }
}

impl KeyUse {
    /// What a key of this class is called.
    #[must_use]
    pub const fn key_name(self) -> &'static str {
        match self {
            KeyUse::Pages => "page key",
            KeyUse::Index => "index key",
        }
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyUse {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<KeyUse, ParseError> {
        [KeyUse::Pages, KeyUse::Index]
            .into_iter()
            .find(|key_use| key_use.name() == text)
            .ok_or_else(|| ParseError::new("what a key is for: pages or index", text))
    }
}

serde_as_text!(KeyUse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_reads_back_what_it_displays_and_nothing_else() {
        for key_use in [KeyUse::Pages, KeyUse::Index] {
            assert_eq!(key_use.to_string().parse(), Ok(key_use));
        }
        assert!("Pages".parse::<KeyUse>().is_err());
    }
}
