//! The names of a replica's objects, relative to its prefix. There are no others: a name is made from numbers and read
//! back into numbers, and never becomes a path or a request in any other way.

use std::fmt;
use std::str::FromStr;

use crate::Txid;
use ebbtide_seal::KeyId;
use ebbtide_time::{ParseError, serde_as_text};

/// The name of one object, which is not to be confused with the secret keys of encrypted replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `ebbtide.json`: what the replica is.
    Manifest,
    /// `log/….seg`: the segment whose first entry this is. How many more it has, its index tells.
    Log(Txid),
    /// `pack/…-….seg`: the entries from `first` to `last`, merged from segments.
    Pack {
        /// The first entry.
        first: Txid,
        /// The last entry, not before `first`.
        last: Txid,
    },
    /// `delta/…-….seg`: what the entries from `first` to `last` changed, as one image of each page.
    Delta {
        /// The first entry; the delta applies to the state before it.
        first: Txid,
        /// The last entry, not before `first`; the delta leads to the state after it.
        last: Txid,
    },
    /// `snap/….seg`: every page as it was after this entry.
    Snapshot(Txid),
    /// `horizon/….seg`: which history is kept, of this number, which is never 0.
    Horizon(u64),
    /// `mark/…-….seg`: a restore point with a name.
    Mark {
        /// The entry whose state is marked.
        txid: Txid,
        /// Tells marks of one entry apart.
        random: u64,
    },
    /// `key/…-….age`: a secret key, wrapped for those who may have it.
    Wrapped {
        /// The id of the key.
        id: KeyId,
        /// How often it was wrapped by then, from 1.
        number: u32,
    },
}

/// Where the objects of one kind lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPrefix {
    /// Segments.
    Log,
    /// Packs.
    Pack,
    /// Deltas.
    Delta,
    /// Snapshots.
    Snapshot,
    /// Horizons.
    Horizon,
    /// Marks.
    Mark,
    /// Secret keys, wrapped.
    Wrapped,
}

/// How the names of all objects in our own format end…
const SUFFIX: &str = ".seg";
/// …and those of secret keys, which are age's.
const WRAPPED_SUFFIX: &str = ".age";
/// The name of the manifest.
const MANIFEST: &str = "ebbtide.json";

impl Key {
    /// The key with this name. Exactly the names that keys display are accepted, and nothing else.
    #[must_use]
    pub fn parse(name: &str) -> Option<Key> {
        if name == MANIFEST {
            return Some(Key::Manifest);
        }
        let (directory, file) = name.split_once('/')?;
        let prefix = KeyPrefix::parse(directory)?;
        let numbers = file.strip_suffix(prefix.suffix())?;
        match prefix {
            KeyPrefix::Log => Some(Key::Log(Txid::from_digits(numbers)?)),
            KeyPrefix::Snapshot => Some(Key::Snapshot(Txid::from_digits(numbers)?)),
            KeyPrefix::Pack => parse_range(numbers).map(|(first, last)| Key::Pack { first, last }),
            KeyPrefix::Delta => {
                parse_range(numbers).map(|(first, last)| Key::Delta { first, last })
            }
            KeyPrefix::Horizon => {
                Txid::from_digits(numbers).map(|number| Key::Horizon(number.get()))
            }
            KeyPrefix::Mark => parse_mark(numbers),
            KeyPrefix::Wrapped => parse_wrapped(numbers),
        }
    }

    /// The entry whose state the object gives, of a snapshot or delta.
    #[must_use]
    pub const fn state(self) -> Option<Txid> {
        match self {
            Key::Snapshot(txid) | Key::Delta { last: txid, .. } => Some(txid),
            Key::Manifest
            | Key::Log(_)
            | Key::Pack { .. }
            | Key::Horizon(_)
            | Key::Mark { .. }
            | Key::Wrapped { .. } => None,
        }
    }

    /// Whether it is the name of a pack that has this entry.
    #[must_use]
    pub fn is_pack_with(self, txid: Txid) -> bool {
        matches!(self, Key::Pack { first, last } if first <= txid && txid <= last)
    }

    /// Where it lies; the manifest lies in no directory.
    #[must_use]
    pub const fn prefix(self) -> Option<KeyPrefix> {
        match self {
            Key::Manifest => None,
            Key::Log(_) => Some(KeyPrefix::Log),
            Key::Pack { .. } => Some(KeyPrefix::Pack),
            Key::Delta { .. } => Some(KeyPrefix::Delta),
            Key::Snapshot(_) => Some(KeyPrefix::Snapshot),
            Key::Horizon(_) => Some(KeyPrefix::Horizon),
            Key::Mark { .. } => Some(KeyPrefix::Mark),
            Key::Wrapped { .. } => Some(KeyPrefix::Wrapped),
        }
    }
}

fn parse_range(numbers: &str) -> Option<(Txid, Txid)> {
    let (first, last) = numbers.split_once('-')?;
    let (first, last) = (Txid::from_digits(first)?, Txid::from_digits(last)?);
    (first <= last).then_some((first, last))
}

fn parse_mark(numbers: &str) -> Option<Key> {
    let (txid, digits) = numbers.split_once('-')?;
    let random = u64::from_str_radix(digits, 16).ok()?;
    let is_written_so = format!("{random:016x}") == digits;
    Some(Key::Mark { txid: Txid::from_digits(txid)?, random }).filter(|_| is_written_so)
}

fn parse_wrapped(numbers: &str) -> Option<Key> {
    let (id, digits) = numbers.split_once('-')?;
    let number = u32::from_str_radix(digits, 16).ok().filter(|&number| number > 0)?;
    let is_written_so = format!("{number:08x}") == digits;
    Some(Key::Wrapped { id: id.parse().ok()?, number }).filter(|_| is_written_so)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(prefix) = self.prefix() else { return f.write_str(MANIFEST) };
        write!(f, "{prefix}/")?;
        match self {
            Key::Manifest => {}
            Key::Log(txid) | Key::Snapshot(txid) => write!(f, "{txid}")?,
            Key::Pack { first, last } | Key::Delta { first, last } => write!(f, "{first}-{last}")?,
            Key::Horizon(number) => write!(f, "{number:016x}")?,
            Key::Mark { txid, random } => write!(f, "{txid}-{random:016x}")?,
            Key::Wrapped { id, number } => write!(f, "{id}-{number:08x}")?,
        }
        f.write_str(prefix.suffix())
    }
}

impl FromStr for Key {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Key, ParseError> {
        Key::parse(name).ok_or_else(|| ParseError::new("the name of an object", name))
    }
}

serde_as_text!(Key);

impl KeyPrefix {
    /// All of them.
    pub const ALL: [KeyPrefix; 7] = [
        KeyPrefix::Log,
        KeyPrefix::Pack,
        KeyPrefix::Delta,
        KeyPrefix::Snapshot,
        KeyPrefix::Horizon,
        KeyPrefix::Mark,
        KeyPrefix::Wrapped,
    ];

    /// Its name, without a slash.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KeyPrefix::Log => "log",
            KeyPrefix::Pack => "pack",
            KeyPrefix::Delta => "delta",
            KeyPrefix::Snapshot => "snap",
            KeyPrefix::Horizon => "horizon",
            KeyPrefix::Mark => "mark",
            KeyPrefix::Wrapped => "key",
        }
    }

    /// How the names of its objects end.
    const fn suffix(self) -> &'static str {
        match self {
            KeyPrefix::Wrapped => WRAPPED_SUFFIX,
            _ => SUFFIX,
        }
    }

    fn parse(name: &str) -> Option<KeyPrefix> {
        KeyPrefix::ALL.into_iter().find(|prefix| prefix.name() == name)
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    #[test]
    fn keys_have_the_names_of_the_format() {
        let (first, last) = (txid(0x2a), txid(0xfff));
        for (key, name) in [
            (Key::Manifest, "ebbtide.json"),
            (Key::Log(first), "log/000000000000002a.seg"),
            (Key::Pack { first, last }, "pack/000000000000002a-0000000000000fff.seg"),
            (Key::Delta { first, last }, "delta/000000000000002a-0000000000000fff.seg"),
            (Key::Snapshot(last), "snap/0000000000000fff.seg"),
            (
                Key::Wrapped { id: KeyId::from_bytes([0x1f; 8]), number: 10 },
                "key/1f1f1f1f1f1f1f1f-0000000a.age",
            ),
        ] {
            assert_eq!(key.to_string(), name);
            assert_eq!(Key::parse(name), Some(key));
        }
    }

    #[test]
    fn the_order_of_names_is_the_order_of_keys() {
        let mut keys: Vec<Key> = [9, 1, 255, 16, u64::MAX, 10]
            .into_iter()
            .map(|number| Key::Log(txid(number)))
            .collect();
        let mut names: Vec<String> = keys.iter().map(Key::to_string).collect();
        keys.sort();
        names.sort();
        assert_eq!(names, keys.iter().map(Key::to_string).collect::<Vec<_>>());
    }

    /// S21: a store may answer a listing with anything.
    #[test]
    fn s21_any_other_name_is_no_key() {
        let good = "log/000000000000002a.seg";
        let many = format!("log/{}.seg", "0".repeat(1 << 20));
        for name in [
            "",
            "/",
            "log/",
            "log/.seg",
            ".seg",
            "/log/000000000000002a.seg",
            "log//000000000000002a.seg",
            "log/../snap/000000000000002a.seg",
            "log/000000000000002A.seg",
            "log/+00000000000002a.seg",
            "log/00000000000002a.seg",
            "log/0000000000000000.seg",
            "log/000000000000002a.seg\0",
            "log/000000000000002a.seg ",
            "log/000000000000002a.SEG",
            "log/000000000000002a.seg.tmp",
            "Log/000000000000002a.seg",
            "log/000000000000002a-000000000000002b.seg",
            "pack/000000000000002a.seg",
            "pack/000000000000002b-000000000000002a.seg",
            "pack/0000000000000000-000000000000002a.seg",
            "pack/000000000000002a--00000000000002a.seg",
            "pack/000000000000002a-000000000000002b-000000000000002c.seg",
            "snapshot/000000000000002a.seg",
            "key/1f1f1f1f1f1f1f1f-0000000a.seg",
            "key/1f1f1f1f1f1f1f1f-00000000.age",
            "key/1f1f1f1f1f1f1f1f-0000000A.age",
            "key/1f1f1f1f1f1f1f1-0000000a.age",
            "key/1f1f1f1f1f1f1f1f-a.age",
            "key/1f1f1f1f1f1f1f1f.age",
            "log/000000000000002a.age",
            "ebbtide.json/",
            "ébbtide.json",
            &many,
        ] {
            assert_eq!(Key::parse(name), None, "{name}");
        }
        assert!(Key::parse(good).is_some());
    }
}
