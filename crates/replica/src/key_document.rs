//! What a wrapped key says once it is unwrapped.

use std::fmt::{self, Write as _};

use ebbtide_seal::{KeyId, KeyUse, SecretKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Error, Manifest, ReplicaId, Result};

/// A secret key, with the replica that it is of and what it opens: the plain text of `key/<id>-<number>.age`.
#[derive(Clone)]
pub struct KeyDocument {
    /// The replica.
    pub replica: ReplicaId,
    /// What the key opens.
    pub key_use: KeyUse,
    /// The key.
    pub key: SecretKey,
}

/// The JSON as it stands. Keys that are not listed here are skipped, so that later versions may add some. The key is
/// borrowed, so that no copy of it is left behind.
#[derive(Deserialize)]
struct KeyJson<'a> {
    replica: ReplicaId,
    #[serde(rename = "use")]
    key_use: KeyUse,
    id: KeyId,
    #[serde(borrow)]
    key: &'a str,
}

/// The one key that every version has, read before the rest.
#[derive(Deserialize)]
struct KeyFormat {
    ebbtide: u32,
}

impl KeyDocument {
    /// A longer plain text is refused unread.
    pub const SIZE_MAX: usize = 4096;

    /// A longer wrapped key is refused unread: enough for hundreds of recipients.
    pub const WRAPPED_MAX: usize = 65_536;

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.key)
    }

    /// As the plain text of a wrapped key, which is overwritten when it is dropped.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let KeyDocument { replica, key_use, key } = self;
        let (id, hex) = (self.id(), key.to_hex());
        // With room for all of it, so that no copy is left behind where it grew. Nothing in it needs an escape.
        let mut json = Zeroizing::new(String::with_capacity(KeyDocument::SIZE_MAX));
        writeln!(
            json,
            "{{\"ebbtide\": {}, \"replica\": \"{replica}\", \"use\": \"{key_use}\", \"id\": \"{id}\", \"key\": \"{}\"}}",
            Manifest::FORMAT,
            *hex
        )
        .expect("memory takes what is written");
        Zeroizing::new(std::mem::take(&mut *json).into_bytes())
    }

    /// From the plain text of a wrapped key. What is wrong with one is said without any of its bytes.
    pub fn from_json(json: &[u8]) -> Result<KeyDocument> {
        let damaged = |why: &str| Error::damaged("the secret key", why);
        let syntax = |error: &serde_json::Error| {
            damaged(&format!("it is no JSON of one, at column {}", error.column()))
        };
        if json.len() > KeyDocument::SIZE_MAX {
            return Err(damaged("it is longer than any"));
        }
        let KeyFormat { ebbtide } = serde_json::from_slice(json).map_err(|error| syntax(&error))?;
        if ebbtide > Manifest::FORMAT {
            return Err(Error::newer("the secret key", format!("its format is {ebbtide}")));
        }
        if ebbtide != Manifest::FORMAT {
            return Err(damaged(&format!("there is no format {ebbtide}")));
        }
        let document: KeyJson<'_> = serde_json::from_slice(json).map_err(|error| syntax(&error))?;
        let key = SecretKey::from_hex(document.key);
        let key = key.ok_or_else(|| damaged("it is not 64 hexadecimal digits"))?;
        let document_of = KeyDocument { replica: document.replica, key_use: document.key_use, key };
        if document_of.id() != document.id {
            let (stated, id) = (document.id, document_of.id());
            return Err(damaged(&format!("its id is {id}, and {stated} is stated")));
        }
        Ok(document_of)
    }
}

impl fmt::Debug for KeyDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyDocument { replica, key_use, .. } = self;
        write!(f, "KeyDocument({key_use} key {} of {replica:?})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> KeyDocument {
        let replica = ReplicaId::from_bytes([0xab; 16]);
        KeyDocument { replica, key_use: KeyUse::Pages, key: SecretKey::from_bytes([0x41; 32]) }
    }

    fn text() -> String {
        String::from_utf8(sample().to_json().to_vec()).unwrap()
    }

    #[test]
    fn a_document_reads_back_what_it_writes() {
        let json = sample().to_json();
        assert_eq!(json.last(), Some(&b'\n'));
        let read = KeyDocument::from_json(&json).unwrap();
        assert_eq!((read.replica, read.key_use), (sample().replica, KeyUse::Pages));
        assert_eq!(read.key.as_bytes(), sample().key.as_bytes());
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["id"], sample().id().to_string());
        let more = text().replacen('{', "{\"colour\": [1, 2],", 1);
        assert!(KeyDocument::from_json(more.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_document_is_refused_without_any_of_its_bytes() {
        let long = format!("{}{}", text(), " ".repeat(KeyDocument::SIZE_MAX));
        let hex = sample().key.to_hex();
        for json in [
            String::new(),
            "null".to_owned(),
            "{}".to_owned(),
            long,
            text().replace("\"ebbtide\": 1", "\"ebbtide\": 0"),
            text().replace("\"ebbtide\": 1", &format!("\"ebbtide\": \"{}\"", *hex)),
            text().replace("\"use\": \"pages\"", &format!("\"use\": \"{}\"", *hex)),
            text().replace(&hex[..2], "42"),
            text().replace(&hex[..], &hex[2..]),
            text().replace(&sample().id().to_string(), "0000000000000000"),
            text().replace("pages", "all"),
        ] {
            let error = KeyDocument::from_json(json.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("4141"), "{error}");
        }
        let newer = text().replace("\"ebbtide\": 1", "\"ebbtide\": 2");
        let error = KeyDocument::from_json(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Newer { .. }), "{error}");
    }

    /// H39: what is logged of a key says nothing of it.
    #[test]
    fn h39_a_document_shows_nothing_of_the_key() {
        let shown = format!("{:?}", sample());
        assert!(shown.contains(&sample().id().to_string()), "{shown}");
        assert!(!shown.contains("4141"), "{shown}");
    }
}
