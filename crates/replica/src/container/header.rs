//! The header: which replica an object belongs to, what kind it is, and what came before it.

use ebbtide_seal::KeyUse;
use ebbtide_wal::PageSize;

use super::Envelope;
use super::layout::{crc_before, header as at};
use super::limits::VERSION;
use crate::{Chain, Error, Key, ReplicaId, Result, Txid};

/// How every object begins: not text, then the name.
pub(super) const MAGIC: [u8; 8] = *b"\x89ebbtide";

/// What the first bytes of an object say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The replica it belongs to.
    pub replica: ReplicaId,
    /// The size of each page image in it.
    pub page_size: PageSize,
    /// What it holds.
    pub contents: Contents,
}

/// What an object holds, and where that stands in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Consecutive entries, as they were written to the log.
    Segment {
        /// The first of them.
        first: Txid,
        /// The history before the first.
        chain: Chain,
    },
    /// Consecutive entries, merged from segments.
    Pack {
        /// The first of them.
        first: Txid,
        /// The history before the first.
        chain: Chain,
    },
    /// The pages that the entries from `first` on changed, each as it was after the last of them.
    Delta {
        /// The first of the entries; the delta applies to the state before it.
        first: Txid,
    },
    /// Every page as it was after an entry.
    Snapshot {
        /// That entry.
        txid: Txid,
    },
    /// A document: which of the older history is kept.
    Horizon {
        /// The first entry from which on the history is whole.
        first: Txid,
        /// Which horizon it is.
        number: u64,
        /// The history before the first entry.
        chain: Chain,
    },
    /// A document: the name of a restore point.
    Mark {
        /// The entry whose state it is.
        txid: Txid,
        /// Tells marks of one entry apart.
        random: u64,
    },
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// See [`Contents::Segment`].
    Segment = 1,
    /// See [`Contents::Pack`].
    Pack = 2,
    /// See [`Contents::Delta`].
    Delta = 3,
    /// See [`Contents::Snapshot`].
    Snapshot = 4,
    /// See [`Contents::Horizon`].
    Horizon = 5,
    /// See [`Contents::Mark`].
    Mark = 6,
}

impl Kind {
    /// The kind with this number in a header.
    pub(super) const fn from_code(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Segment),
            2 => Some(Kind::Pack),
            3 => Some(Kind::Delta),
            4 => Some(Kind::Snapshot),
            5 => Some(Kind::Horizon),
            6 => Some(Kind::Mark),
            _ => None,
        }
    }

    /// Its number in a header.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it holds entries of the history; otherwise it holds one state.
    #[must_use]
    pub const fn is_history(self) -> bool {
        matches!(self, Kind::Segment | Kind::Pack)
    }

    /// Whether it holds a document, and neither entries nor pages.
    #[must_use]
    pub const fn is_document(self) -> bool {
        matches!(self, Kind::Horizon | Kind::Mark)
    }
}

impl Header {
    /// Its size in bytes, at the beginning of each object.
    pub const SIZE: usize = at::SIZE;

    /// The kind of its contents.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.contents {
            Contents::Segment { .. } => Kind::Segment,
            Contents::Pack { .. } => Kind::Pack,
            Contents::Delta { .. } => Kind::Delta,
            Contents::Snapshot { .. } => Kind::Snapshot,
            Contents::Horizon { .. } => Kind::Horizon,
            Contents::Mark { .. } => Kind::Mark,
        }
    }

    /// The first entry that the object is about; for a snapshot the only one.
    #[must_use]
    pub const fn first(&self) -> Txid {
        match self.contents {
            Contents::Segment { first, .. }
            | Contents::Pack { first, .. }
            | Contents::Delta { first }
            | Contents::Horizon { first, .. }
            | Contents::Snapshot { txid: first }
            | Contents::Mark { txid: first, .. } => first,
        }
    }

    /// The history before the first entry, of a segment, a pack or a horizon.
    #[must_use]
    pub const fn chain(&self) -> Option<Chain> {
        match self.contents {
            Contents::Segment { chain, .. }
            | Contents::Pack { chain, .. }
            | Contents::Horizon { chain, .. } => Some(chain),
            Contents::Delta { .. } | Contents::Snapshot { .. } | Contents::Mark { .. } => None,
        }
    }

    /// The name of the object that begins with this header and ends with entry `last`.
    #[must_use]
    pub const fn key(&self, last: Txid) -> Key {
        match self.contents {
            Contents::Segment { first, .. } => Key::Log(first),
            Contents::Pack { first, .. } => Key::Pack { first, last },
            Contents::Delta { first } => Key::Delta { first, last },
            Contents::Snapshot { txid } => Key::Snapshot(txid),
            Contents::Horizon { number, .. } => Key::Horizon(number),
            Contents::Mark { txid, random } => Key::Mark { txid, random },
        }
    }

    /// As the first bytes of an object.
    #[must_use]
    pub fn encode(&self) -> [u8; Header::SIZE] {
        self.encode_with(self.chain().unwrap_or(Chain::NONE), None)
    }

    /// As the first bytes of an encrypted object, which do not say what was before it.
    pub(super) fn encode_sealed(&self, envelope: &Envelope) -> [u8; Header::SIZE] {
        self.encode_with(Chain::NONE, Some(envelope))
    }

    fn encode_with(&self, chain: Chain, envelope: Option<&Envelope>) -> [u8; Header::SIZE] {
        let base = match self.contents {
            Contents::Delta { first } => first.get() - 1,
            Contents::Horizon { number, .. } => number,
            Contents::Mark { random, .. } => random,
            _ => 0,
        };
        let mut bytes = [0; Header::SIZE];
        at::MAGIC.put(&mut bytes, &MAGIC);
        at::VERSION.put(&mut bytes, &VERSION.to_le_bytes());
        at::KIND.put(&mut bytes, &[self.kind().code()]);
        at::PAGE_SIZE.put(&mut bytes, &self.page_size.get().to_le_bytes());
        at::REPLICA.put(&mut bytes, self.replica.as_bytes());
        at::FIRST.put(&mut bytes, &self.first().get().to_le_bytes());
        at::BASE.put(&mut bytes, &base.to_le_bytes());
        at::CHAIN.put(&mut bytes, chain.as_bytes());
        if let Some(envelope) = envelope {
            envelope.put(&mut bytes);
        }
        let crc = crc_before(at::CRC, &bytes);
        at::CRC.put(&mut bytes, &crc.to_le_bytes());
        bytes
    }

    /// From the first bytes of a plain object; more may follow.
    pub fn parse(bytes: &[u8]) -> Result<Header> {
        match Header::parse_any(bytes)? {
            (header, None) => Ok(header),
            (_, Some(Envelope { index: id, .. })) => {
                Err(Error::NoKey { id, key_use: KeyUse::Index })
            }
        }
    }

    /// The same of an object that may be encrypted: then it is not known what was before it, and the chain is
    /// [`Chain::NONE`].
    pub fn parse_any(bytes: &[u8]) -> Result<(Header, Option<Envelope>)> {
        let damaged = |why: String| Error::damaged("the header", why);
        let Some((bytes, _)) = bytes.split_first_chunk::<{ Header::SIZE }>() else {
            return Err(damaged(format!("it has {} bytes", bytes.len())));
        };
        if at::MAGIC.of(bytes) != MAGIC {
            return Err(damaged("this is no object of a replica".to_owned()));
        }
        let (stated, actual) = (at::CRC.u32(bytes), crc_before(at::CRC, bytes));
        if stated != actual {
            return Err(damaged(format!("its CRC32 is {actual:08x} and it states {stated:08x}")));
        }
        refuse_newer(bytes)?;
        let envelope = Envelope::parse(bytes)?;
        let page_size = at::PAGE_SIZE.u32(bytes);
        let page_size = PageSize::new(page_size)
            .ok_or_else(|| damaged(format!("there is no page size {page_size}")))?;
        let contents = parse_contents(bytes).map_err(damaged)?;
        let replica = ReplicaId::from_bytes(at::REPLICA.array(bytes));
        let header = Header { replica, page_size, contents };
        match envelope {
            None => header.check_genesis()?,
            Some(_) if at::CHAIN.is_zero(bytes) => {}
            Some(_) => return Err(damaged("it is encrypted and yet states a chain".to_owned())),
        }
        Ok((header, envelope))
    }

    /// This header, which was read from an encrypted object, with the chain that its index states.
    pub(super) fn opened(mut self, before: Chain) -> Result<Header> {
        match &mut self.contents {
            Contents::Segment { chain, .. }
            | Contents::Pack { chain, .. }
            | Contents::Horizon { chain, .. } => *chain = before,
            Contents::Delta { .. } | Contents::Snapshot { .. } | Contents::Mark { .. } => {
                if before != Chain::NONE {
                    return Err(Error::damaged("the header", NO_CHAIN));
                }
            }
        }
        self.check_genesis()?;
        Ok(self)
    }

    /// The history before the first entry of all is known.
    fn check_genesis(&self) -> Result<()> {
        let genesis = self.first() == Txid::FIRST;
        if genesis && self.chain().is_some_and(|chain| chain != Chain::genesis(self.replica)) {
            return Err(Error::damaged("the header", "its chain is not that of a new replica"));
        }
        Ok(())
    }
}

/// Of an object that has no history before it and states one.
const NO_CHAIN: &str = "it holds a state and yet has a chain before it";

/// Refuses what the first version leaves at zero, so that a later one can give it a meaning.
fn refuse_newer(bytes: &[u8]) -> Result<()> {
    let newer = |why: String| Err(Error::newer("the object", why));
    let version = at::VERSION.u16(bytes);
    if version != VERSION {
        return newer(format!("its format is {version}, and this version reads format {VERSION}"));
    }
    if Kind::from_code(at::KIND.u8(bytes)).is_none() {
        return newer(format!("its kind is {}", at::KIND.u8(bytes)));
    }
    if !at::FLAGS.is_zero(bytes) || !at::RESERVED.is_zero(bytes) {
        return newer("its header uses reserved bytes".to_owned());
    }
    Ok(())
}

fn parse_contents(bytes: &[u8]) -> Result<Contents, String> {
    let first = Txid::new(at::FIRST.u64(bytes)).ok_or("its first txid is 0")?;
    let chain = Chain::from_bytes(at::CHAIN.array(bytes));
    let kind = Kind::from_code(at::KIND.u8(bytes)).ok_or("its kind is unknown")?;
    let base = at::BASE.u64(bytes);
    let expected = match kind {
        Kind::Delta => first.get() - 1,
        Kind::Horizon | Kind::Mark => base,
        _ => 0,
    };
    if base != expected {
        return Err(format!("its base txid is {base:x} where {expected:x} belongs"));
    }
    if kind == Kind::Horizon && base == 0 {
        return Err("its number is 0".to_owned());
    }
    if !kind.is_history() && kind != Kind::Horizon && chain != Chain::NONE {
        return Err(NO_CHAIN.to_owned());
    }
    Ok(match kind {
        Kind::Segment => Contents::Segment { first, chain },
        Kind::Pack => Contents::Pack { first, chain },
        Kind::Delta => Contents::Delta { first },
        Kind::Snapshot => Contents::Snapshot { txid: first },
        Kind::Horizon => Contents::Horizon { first, number: base, chain },
        Kind::Mark => Contents::Mark { txid: first, random: base },
    })
}
