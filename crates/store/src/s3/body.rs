//! The bytes of an object, as they come in.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};

use super::causes::root_cause;
use crate::error::{ErrorKind, StoreError};
use crate::listing::{beyond_end, check_length};
use ebbtide_replica::Key;

/// What is wanted of an object.
pub(super) enum Wanted {
    /// All of it, unless it is longer than this.
    Whole { limit: u64 },
    /// Exactly these bytes.
    Part(Range<u64>),
}

impl Wanted {
    /// The header that asks for it.
    pub(super) fn range(&self) -> Option<String> {
        match self {
            Wanted::Whole { .. } => None,
            Wanted::Part(range) => Some(format!("bytes={}-{}", range.start, range.end - 1)),
        }
    }

    /// What the answer promises against what is wanted: before a byte of it is read, and before memory is taken for it.
    /// Returns how many bytes are to come at most, and whether they must be exactly as many.
    pub(super) fn check(
        &self,
        key: &Key,
        length: Option<u64>,
        range: Option<&str>,
    ) -> Result<u64, StoreError> {
        match self {
            Wanted::Whole { limit } => {
                check_length(key, length.unwrap_or(0), *limit)?;
                Ok(length.unwrap_or(*limit))
            }
            Wanted::Part(wanted) => {
                let (start, size) = range.and_then(parse_range).ok_or_else(|| {
                    let why = "the store gave all of it where a part was asked for";
                    StoreError::new(ErrorKind::Invalid, format!("get {key}"), why)
                })?;
                let bytes = wanted.end - wanted.start;
                if start != wanted.start || length.is_some_and(|length| length != bytes) {
                    return Err(beyond_end(key, wanted, size));
                }
                Ok(bytes)
            }
        }
    }
}

/// From "bytes 5-9/100" the first byte and the size of the object.
fn parse_range(header: &str) -> Option<(u64, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

/// Reads the body to its end. It is never longer than was promised, and shorter only when the connection broke.
pub(super) async fn read(
    key: &Key,
    wanted: &Wanted,
    mut answer: GetObjectOutput,
) -> Result<Bytes, StoreError> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let most = wanted.check(key, length, answer.content_range())?;
    let broken = |why: &str| StoreError::new(ErrorKind::Unavailable, format!("get {key}"), why);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer.body.next().await {
        let chunk = chunk.map_err(|error| {
            broken("the connection broke halfway").caused_by(root_cause(&error))
        })?;
        let so_far = (bytes.len() + chunk.len()) as u64;
        if so_far > most {
            return Err(broken("more came than was promised"));
        }
        if bytes.is_empty() {
            if so_far == most {
                return Ok(chunk);
            }
            bytes.reserve(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
        }
        bytes.extend_from_slice(&chunk);
    }
    let expected = match wanted {
        Wanted::Whole { .. } => length,
        Wanted::Part(_) => Some(most),
    };
    if expected.is_some_and(|expected| expected != bytes.len() as u64) {
        return Err(broken("less came than was promised"));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_replica::Txid;

    const KEY: Key = Key::Log(Txid::FIRST);

    #[test]
    fn a_part_must_be_the_part_that_was_asked_for() {
        let part = Wanted::Part(10..20);
        assert_eq!(part.range().as_deref(), Some("bytes=10-19"));
        assert_eq!(part.check(&KEY, Some(10), Some("bytes 10-19/100")).unwrap(), 10);
        assert_eq!(part.check(&KEY, None, Some("bytes 10-19/100")).unwrap(), 10);
        let kind = |length, range| part.check(&KEY, length, range).unwrap_err().kind();
        assert_eq!(kind(Some(5), Some("bytes 10-14/15")), ErrorKind::Damaged);
        assert_eq!(kind(Some(10), Some("bytes 0-9/100")), ErrorKind::Damaged);
        assert_eq!(kind(Some(100), None), ErrorKind::Invalid);
        assert_eq!(kind(Some(10), Some("bytes */100")), ErrorKind::Invalid);
    }

    #[test]
    fn nothing_longer_than_the_limit_is_begun() {
        let whole = Wanted::Whole { limit: 100 };
        assert_eq!(whole.range(), None);
        assert_eq!(whole.check(&KEY, Some(100), None).unwrap(), 100);
        assert_eq!(whole.check(&KEY, None, None).unwrap(), 100);
        let error = whole.check(&KEY, Some(101), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert_eq!(
            error.to_string(),
            "get log/0000000000000001.seg: it has 101 bytes, and at most 100 are expected"
        );
    }
}
