//! `ebbtide.json`, the first object of a replica: what the rest is.

use ebbtide_seal::KeyId;
use ebbtide_wal::PageSize;
use serde::{Deserialize, Serialize};

use crate::container::SUITE;
use crate::{Error, ReplicaId, Result, Timestamp};

/// What a replica is, written once when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Stands in each object too.
    pub replica: ReplicaId,
    /// Of the database; a database whose page size changed needs a new replica.
    pub page_size: PageSize,
    /// By the clock of the host that created it.
    pub created: Timestamp,
    /// The program and the host that created it, for people: "ebbtide 0.1.0 on db1"; of an encrypted replica without the
    /// host.
    pub created_by: String,
    /// Of a replica that is encrypted. All of its objects are, and none of a plain one's.
    pub encryption: Option<Encryption>,
}

/// How a replica is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    suite: u8,
    /// The index key that it began with.
    pub index: KeyId,
}

impl Encryption {
    /// By the one suite that there is.
    #[must_use]
    pub const fn new(index: KeyId) -> Encryption {
        Encryption { suite: SUITE, index }
    }
}

/// The JSON as it stands. Keys that are not listed here are skipped, so that later versions may add some.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    replica: ReplicaId,
    page_size: u32,
    created: Timestamp,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption: Option<Encryption>,
}

/// The one key that every version has, read before the rest.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Manifest {
    /// The version of the format that this crate reads and writes.
    pub const FORMAT: u32 = 1;
    /// A manifest with more bytes than this is refused unread.
    pub const SIZE_MAX: usize = 64 * 1024;

    /// What stands as the creator.
    #[must_use]
    pub fn creator(version: &str, host: &str) -> String {
        format!("ebbtide {version} on {host}")
    }

    /// The same of an encrypted replica.
    #[must_use]
    pub fn nameless_creator(version: &str) -> String {
        format!("ebbtide {version}")
    }

    /// What a copy of the replica that says this of itself says, if the copy is encrypted as `encryption` has it, or plain.
    /// An encrypted one does not name the host; the claim of entry 1 does.
    #[must_use]
    pub fn in_form(&self, encryption: Option<Encryption>) -> Manifest {
        let created_by = match encryption {
            Some(_) => self.created_by.split(" on ").next().unwrap_or_default().to_owned(),
            None => self.created_by.clone(),
        };
        Manifest { created_by, encryption, ..self.clone() }
    }

    /// As the bytes of `ebbtide.json`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            format: Manifest::FORMAT,
            replica: self.replica,
            page_size: self.page_size.get(),
            created: self.created,
            created_by: self.created_by.clone(),
            encryption: self.encryption,
        };
        let mut json = serde_json::to_vec_pretty(&document).expect("text and numbers become JSON");
        json.push(b'\n');
        json
    }

    /// From the bytes of `ebbtide.json`.
    pub fn from_json(json: &[u8]) -> Result<Manifest> {
        let damaged = |why: String| Error::damaged("ebbtide.json", why);
        if json.len() > Manifest::SIZE_MAX {
            return Err(damaged(format!("it has {} bytes, more than any manifest", json.len())));
        }
        let Format { format } =
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if format > Manifest::FORMAT {
            return Err(Error::newer(
                "ebbtide.json",
                format!("format {format}, and this version reads format {}", Manifest::FORMAT),
            ));
        }
        if format != Manifest::FORMAT {
            return Err(damaged(format!("there is no format {format}")));
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        let page_size = PageSize::new(document.page_size)
            .ok_or_else(|| damaged(format!("there is no page size {}", document.page_size)))?;
        if let Some(Encryption { suite, .. }) = document.encryption.filter(|it| it.suite != SUITE) {
            let why = format!("it is encrypted with suite {suite}");
            return Err(Error::newer("the replica", why));
        }
        Ok(Manifest {
            replica: document.replica,
            page_size,
            created: document.created,
            created_by: document.created_by,
            encryption: document.encryption,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            replica: ReplicaId::from_bytes([0xab; 16]),
            page_size: PageSize::new(4096).unwrap(),
            created: Timestamp::from_micros(1_795_253_400_000_000).unwrap(),
            created_by: "ebbtide 0.1.0 on db1".to_owned(),
            encryption: None,
        }
    }

    #[test]
    fn a_manifest_reads_back_what_it_writes() {
        assert_eq!(Manifest::from_json(&sample().to_json()).unwrap(), sample());
    }

    #[test]
    fn an_encrypted_replica_says_so_and_an_unknown_suite_is_refused_by_name() {
        let encryption = Some(Encryption::new(KeyId::from_bytes([0x1f; 8])));
        let manifest = Manifest { encryption, ..sample() };
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
        let json = String::from_utf8(manifest.to_json()).unwrap();
        let other = json.replace("\"suite\": 1", "\"suite\": 2");
        let error = Manifest::from_json(other.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Newer { .. }), "{error}");
        let other = json.replace("1f1f", "1F1F");
        assert!(matches!(Manifest::from_json(other.as_bytes()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn an_encrypted_copy_does_not_name_the_host_and_is_otherwise_the_same() {
        let encryption = Some(Encryption::new(KeyId::from_bytes([0x1f; 8])));
        let sealed = sample().in_form(encryption);
        assert_eq!(sealed.created_by, Manifest::nameless_creator("0.1.0"));
        assert_eq!(Manifest { created_by: sample().created_by, ..sealed.in_form(None) }, sample());
        // What was encrypted from the beginning is so already.
        assert_eq!(sealed.in_form(encryption), sealed);
        assert_eq!(sample().in_form(None), sample());
    }

    #[test]
    fn unknown_keys_are_skipped_but_a_newer_format_is_refused_by_name() {
        let json = String::from_utf8(sample().to_json()).unwrap();
        let more = json.replacen('{', "{\"colour\": [1, 2],", 1);
        assert_eq!(Manifest::from_json(more.as_bytes()).unwrap(), sample());
        let error = Manifest::from_json(br#"{"format": 2, "all": "else is new"}"#).unwrap_err();
        assert!(matches!(error, Error::Newer { .. }), "{error}");
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let json = String::from_utf8(sample().to_json()).unwrap();
        let mut long = json.clone().into_bytes();
        long.resize(Manifest::SIZE_MAX + 1, b' ');
        for bytes in [
            &b""[..],
            b"null",
            b"{}",
            b"\xff",
            &long,
            json.replace("4096", "4097").as_bytes(),
            json.replace("\"format\": 1", "\"format\": 0").as_bytes(),
            json.replace("abab", "").as_bytes(),
            json.replace("2026-11", "2026-13").as_bytes(),
        ] {
            let error = Manifest::from_json(bytes).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
    }
}
