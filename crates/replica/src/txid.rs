//! The numbers of a replica's entries.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use ebbtide_time::{ParseError, serde_as_text};

/// The number of an entry in a replica's one history: 1, 2, 3 …, never reused, never reset. Written as 16 hexadecimal
/// digits, so that the order of names is the order of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txid(NonZeroU64);

impl Txid {
    /// The first entry of every replica.
    pub const FIRST: Txid = Txid(NonZeroU64::MIN);

    /// The greatest number that a txid can be.
    pub const MAX: Txid = Txid(NonZeroU64::MAX);

    /// Entry `number`, unless it is 0, which no entry has.
    #[must_use]
    pub const fn new(number: u64) -> Option<Txid> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Txid(number)),
            None => None,
        }
    }

    /// The number itself, at least 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The number of the entry after this one. The last number is its own successor; a history that adds a million
    /// entries a second comes to it in half a million years.
    #[must_use]
    pub const fn next(self) -> Txid {
        Txid(self.0.saturating_add(1))
    }

    /// The number of the entry before this one, if there is one.
    #[must_use]
    pub const fn previous(self) -> Option<Txid> {
        Txid::new(self.get() - 1)
    }

    /// Whether `other` is the entry right after this one.
    #[must_use]
    pub fn precedes(self, other: Txid) -> bool {
        self.get().checked_add(1) == Some(other.get())
    }

    /// The number that is written with exactly 16 lower-case digits, as in the names of objects.
    pub(crate) fn from_digits(digits: &str) -> Option<Txid> {
        let canonical = digits.len() == 16
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if canonical { u64::from_str_radix(digits, 16).ok().and_then(Txid::new) } else { None }
    }
}

impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

impl FromStr for Txid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Txid, ParseError> {
        let digits =
            (1..=16).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = if digits { u64::from_str_radix(text, 16).ok() } else { None };
        number.and_then(Txid::new).ok_or_else(|| {
            ParseError::new("a txid: 1 to 16 hexadecimal digits, not all zero", text)
        })
    }
}

serde_as_text!(Txid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_txid_reads_back_what_it_writes() {
        for number in [1, 0x2a, u64::MAX] {
            let txid = Txid::new(number).unwrap();
            assert_eq!(txid.to_string().len(), 16);
            assert_eq!(txid.to_string().parse(), Ok(txid));
            assert_eq!(Txid::from_digits(&txid.to_string()), Some(txid));
        }
        assert_eq!("2A".parse(), Ok(Txid::new(42).unwrap()));
    }

    #[test]
    fn what_is_not_a_txid_is_refused() {
        for text in ["", "0", "0000000000000000", "+1", "0x1", "00000000000000001", "g", " 1", "-1"]
        {
            assert!(text.parse::<Txid>().is_err(), "{text}");
        }
        assert_eq!(Txid::from_digits("2a"), None);
        assert_eq!(Txid::from_digits("000000000000002A"), None);
    }

    #[test]
    fn nothing_follows_the_last_txid() {
        let last = Txid::new(u64::MAX).unwrap();
        assert!(!last.precedes(last.next()));
        assert!(Txid::FIRST.precedes(Txid::FIRST.next()));
        assert_eq!(Txid::FIRST.previous(), None);
    }
}
