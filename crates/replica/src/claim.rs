//! The claim: what a process writes into the log of a replica when it takes it over.

use serde::{Deserialize, Serialize};

use crate::{Entry, Error, Manifest, Result, Timestamp};

/// Who took a replica over, and when. It is the detail of an entry of kind claim, as JSON; keys that are not listed here
/// are skipped, so that later versions may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The name of the host.
    pub host: String,
    /// The process on that host.
    pub pid: u32,
    /// Drawn at random by each process, so that it knows its own claim again.
    pub session: String,
    /// The version of ebbtide.
    pub version: String,
    /// By the host's clock.
    pub time: Timestamp,
    /// The database that was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Box<ClaimedFile>>,
    /// The text of `ebbtide.json`, in the claim that is entry 1 only: so the whole manifest is under the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Box<str>>,
}

/// The file of a database, as the host of its process knows it: how a database without local state is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedFile {
    /// Its absolute path.
    pub path: String,
    /// The device that it is on.
    pub device: u64,
    /// Its number on that device.
    pub inode: u64,
}

impl Claim {
    /// As the detail of an entry. Fails if the texts are longer than a detail may be.
    pub fn to_detail(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).expect("text and numbers become JSON");
        if json.len() > Entry::DETAIL_MAX {
            return Err(Error::unwritable("the claim", format!("it has {} bytes", json.len())));
        }
        Ok(json)
    }

    /// The manifest that it states, if it states one that can be read.
    #[must_use]
    pub fn stated_manifest(&self) -> Option<Manifest> {
        Manifest::from_json(self.manifest.as_ref()?.as_bytes()).ok()
    }

    /// From the detail of an entry.
    pub fn from_detail(detail: &[u8]) -> Result<Claim> {
        if detail.len() > Entry::DETAIL_MAX {
            return Err(Error::damaged("the claim", format!("it has {} bytes", detail.len())));
        }
        serde_json::from_slice(detail)
            .map_err(|error| Error::damaged("the claim", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_back_what_it_writes_and_skips_unknown_keys() {
        let claim = Claim {
            host: "db1".to_owned(),
            pid: 4711,
            session: "5eed".to_owned(),
            version: "0.1.0".to_owned(),
            time: Timestamp::from_micros(1_795_253_400_000_000).unwrap(),
            database: None,
            manifest: None,
        };
        let database = ClaimedFile { path: "/data/app.db".to_owned(), device: 1, inode: 2 };
        let of_file = Claim { database: Some(Box::new(database)), ..claim.clone() };
        assert_eq!(Claim::from_detail(&of_file.to_detail().unwrap()).unwrap(), of_file);
        let detail = claim.to_detail().unwrap();
        assert_eq!(Claim::from_detail(&detail).unwrap(), claim);
        let more = String::from_utf8(detail).unwrap().replacen('{', "{\"colour\":7,", 1);
        assert_eq!(Claim::from_detail(more.as_bytes()).unwrap(), claim);
    }

    #[test]
    fn a_claim_that_is_too_long_or_not_json_is_refused() {
        let long = Claim {
            host: "h".repeat(Entry::DETAIL_MAX),
            pid: 1,
            session: String::new(),
            version: String::new(),
            time: Timestamp::EPOCH,
            database: None,
            manifest: None,
        };
        assert!(long.to_detail().is_err());
        for detail in [&b""[..], b"{}", b"\xff", &[b' '; Entry::DETAIL_MAX + 1]] {
            assert!(Claim::from_detail(detail).is_err());
        }
    }
}
