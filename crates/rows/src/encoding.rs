//! The encoding of a database's text.

use std::borrow::Cow;

/// In which encoding a database keeps text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, the low byte first.
    Utf16le,
    /// UTF-16, the high byte first.
    Utf16be,
}

impl Encoding {
    /// Each with the name that `PRAGMA encoding` has for it.
    pub const NAMES: [(&'static str, Encoding); 3] = [
        ("UTF-8", Encoding::Utf8),
        ("UTF-16le", Encoding::Utf16le),
        ("UTF-16be", Encoding::Utf16be),
    ];

    /// The encoding of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Encoding> {
        Encoding::NAMES.iter().find(|known| known.0 == name).map(|known| known.1)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16le => "UTF-16le",
            Encoding::Utf16be => "UTF-16be",
        }
    }

    /// UTF-8 text as the database has it. What is not well-formed has a replacement character in UTF-16, as in SQLite.
    #[must_use]
    pub fn encode(self, text: &[u8]) -> Cow<'_, [u8]> {
        let units = || {
            let text = String::from_utf8_lossy(text);
            text.encode_utf16().collect::<Vec<u16>>()
        };
        match self {
            Encoding::Utf8 => Cow::Borrowed(text),
            Encoding::Utf16le => units().into_iter().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16be => units().into_iter().flat_map(u16::to_be_bytes).collect(),
        }
    }
}
