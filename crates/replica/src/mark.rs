//! The mark: a restore point with a name, which every policy keeps.

use ebbtide_seal::Keys;
use ebbtide_wal::PageSize;
use serde::{Deserialize, Serialize};

use crate::container::{Contents, DocumentObject, Header, Sealing};
use crate::{Chain, Digest, Error, Key, ReplicaId, Result, Timestamp, Txid};

/// A mark: `mark/<txid>-<random>.seg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The replica.
    pub replica: ReplicaId,
    /// Its page size.
    pub page_size: PageSize,
    /// The entry whose state is marked.
    pub txid: Txid,
    /// Tells marks of one entry apart.
    pub random: u64,
    /// The chain after the entry.
    pub chain: Chain,
    /// The digest of the database.
    pub digest: Digest,
    /// What the document says.
    pub contents: MarkContents,
}

/// The document of a mark. Keys that are not listed here are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkContents {
    /// What the mark is called. Two may have one name.
    pub name: String,
    /// As in the header.
    pub txid: Txid,
    /// The time of the entry.
    pub time: Timestamp,
    /// For how long it keeps the state, such as `90d`; without it, until it is removed.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
}

impl MarkContents {
    /// The longest name in bytes.
    pub const NAME_MAX: usize = 1024;

    /// The longest document of a mark in bytes.
    pub const SIZE_MAX: usize = 65_536;
}

impl Mark {
    /// The longest object that a reader takes.
    pub const SIZE_MAX: u64 = 2 * MarkContents::SIZE_MAX as u64;

    /// The name of the object, which does not tell what the mark is called.
    #[must_use]
    pub const fn key(&self) -> Key {
        Key::Mark { txid: self.txid, random: self.random }
    }

    /// As a plain object.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.document()?.encode()
    }

    /// As an encrypted object.
    pub fn seal(&self, sealing: &Sealing) -> Result<Vec<u8>> {
        self.document()?.seal(sealing)
    }

    fn document(&self) -> Result<DocumentObject> {
        self.check().map_err(|why| Error::unwritable("the mark", why))?;
        let json = serde_json::to_vec(&self.contents)
            .map_err(|error| Error::unwritable("the mark", error.to_string()))?;
        if json.len() > MarkContents::SIZE_MAX {
            let why = format!("its document has {} bytes", json.len());
            return Err(Error::unwritable("the mark", why));
        }
        let contents = Contents::Mark { txid: self.txid, random: self.random };
        let header = Header { replica: self.replica, page_size: self.page_size, contents };
        let (last, chain, digest) = (self.txid, self.chain, self.digest);
        Ok(DocumentObject { header, last, chain, digest, json })
    }

    /// From a whole plain object.
    pub fn parse(object: &[u8]) -> Result<Mark> {
        Mark::open(object, &Keys::NONE)
    }

    /// The same of an object that may be encrypted, with an index key that is among `keys`.
    pub fn open(object: &[u8], keys: &Keys) -> Result<Mark> {
        let (document, _) = DocumentObject::open(object, keys)?;
        let Header { replica, page_size, contents } = document.header;
        let Contents::Mark { txid, random } = contents else {
            return Err(Error::damaged("the mark", "it is another kind of object"));
        };
        if document.last != txid {
            return Err(Error::damaged("the mark", "the footer states another entry"));
        }
        if document.json.len() > MarkContents::SIZE_MAX {
            let why = format!("its document has {} bytes", document.json.len());
            return Err(Error::damaged("the mark", why));
        }
        let contents = serde_json::from_slice(&document.json)
            .map_err(|error| Error::damaged("the mark", error.to_string()))?;
        let (chain, digest) = (document.chain, document.digest);
        let mark = Mark { replica, page_size, txid, random, chain, digest, contents };
        mark.check().map_err(|why| Error::damaged("the mark", why))?;
        Ok(mark)
    }

    fn check(&self) -> Result<(), String> {
        let MarkContents { name, txid, .. } = &self.contents;
        if *txid != self.txid {
            return Err(format!("it is of entry {txid}, and its name has {}", self.txid));
        }
        if name.is_empty() || name.len() > MarkContents::NAME_MAX {
            return Err(format!("what it is called has {} bytes", name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err("what it is called has control characters".to_owned());
        }
        Ok(())
    }
}
