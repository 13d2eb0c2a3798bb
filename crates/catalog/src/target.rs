//! What the user asks for, and what to tell about the answer.

use ebbtide_replica::{Chain, Key, Timestamp, Txid};

/// Which state of the database is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The newest.
    Latest,
    /// The one after this entry.
    Txid(Txid),
    /// The one at this time: after the last entry at or before it.
    Time(Timestamp),
    /// The one that a mark is of, with the chain that the mark states. It can be had for as long as what it needs is
    /// there, also if the newest horizon does not keep it yet.
    Marked {
        /// The entry.
        txid: Txid,
        /// The chain after it.
        chain: Chain,
    },
}

/// Something that the user ought to know about a restore that is exact nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The wanted time is yet to come, so this is the newest state.
    Future {
        /// The wanted time.
        wanted: Timestamp,
        /// The time of the newest entry.
        newest: Timestamp,
    },
    /// The newest entries are dated later than now, because a clock was ahead when they were made. Times do not tell
    /// them apart from what comes after them.
    Ahead {
        /// The first of them.
        first: Txid,
        /// The newest of them, which is the newest of all.
        newest: Txid,
        /// Its time.
        until: Timestamp,
        /// The restored state comes before them, because it was chosen by its time.
        is_without: bool,
    },
    /// The wanted time lies where history was missed: the database may have had other states then, which nobody saw.
    Gap {
        /// The wanted time.
        wanted: Timestamp,
        /// From when on history was missed.
        since: Timestamp,
        /// The last entry before that, which is what was restored.
        before: Txid,
        /// The entry that brought the state up to date.
        after: Txid,
        /// Its time.
        until: Timestamp,
    },
    /// An object could not be used, and others served in its place.
    PlannedAround {
        /// The object.
        key: Key,
        /// Why it could not be used.
        why: String,
    },
    /// No entry states what the pages of this snapshot are, so they are proved by the digest alone: that holds against
    /// accidents, and not against somebody who may write to the store.
    DigestOnly {
        /// The snapshot.
        key: Key,
    },
    /// The log around this snapshot is no longer kept. The snapshot proves itself, but not its place in the history.
    Unvouched {
        /// The snapshot.
        key: Key,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::Future { wanted, newest } => {
                write!(f, "{wanted} is yet to come: this is the newest state, of {newest}")
            }
            Notice::Ahead { first, newest, until, is_without } => {
                write!(
                    f,
                    "txid {first} to {newest} are dated after now, up to {until}, because a clock was ahead when they \
                     were made: choose among them by txid"
                )?;
                if *is_without {
                    f.write_str("; this state is without them, and \"now\" is the newest state")?;
                }
                Ok(())
            }
            Notice::Gap { wanted, since, before, after, until } => write!(
                f,
                "{wanted} lies in a gap of the history, from {since} to {until}: this is the state before it, txid \
                 {before}; the state after it is txid {after}"
            ),
            Notice::PlannedAround { key, why } => {
                write!(f, "{key} could not be used ({why}): other objects served in its place")
            }
            Notice::DigestOnly { key } => write!(
                f,
                "no entry vouches for the pages of {key}, and nothing else served: they are proved by their digest alone, \
                 which holds against accidents and not against somebody who may write to the store"
            ),
            Notice::Unvouched { key } => write!(
                f,
                "the log around {key} is no longer kept: it proves itself, but not its place in the history"
            ),
        }
    }
}
