//! Why no plan for a state can be made. A variant exists where the caller acts differently.

use std::fmt;

use ebbtide_replica::{Key, Point, Timestamp, Txid};
use ebbtide_state::StateError;
use ebbtide_store::{KeyError, StoreError};

use crate::CatalogError;
use crate::plan::Culprit;

/// What a plan ends with.
pub(crate) type Result<T, E = PlanError> = std::result::Result<T, E>;

/// Why no plan for a state can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is no replica, or it has no such state.
    #[error("{0}")]
    Nothing(Nothing),

    /// What would give the state is damaged, missing or not provable.
    #[error("{}", damaged(.culprits, *.wanted, .nearest))]
    Damaged {
        /// The entry that was wanted, if that could be told.
        wanted: Option<Txid>,
        /// The objects that stand in the way, at least one.
        culprits: Vec<Culprit>,
        /// The nearest states that can be restored.
        nearest: Nearest,
    },

    /// The replica does not have the history that the caller knows.
    #[error("the replica is not the one that was expected: {why}")]
    Unexpected {
        /// In what it differs.
        why: String,
    },

    /// A part of the replica was written by a later version.
    #[error("{key} was written by a newer ebbtide ({why}): restore it with that version")]
    Newer {
        /// The object.
        key: Key,
        /// What is unknown about it.
        why: String,
    },

    /// The replica is encrypted, and a key that is needed is not to be had.
    #[error(transparent)]
    Key(KeyError),

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The local state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What there is not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nothing {
    /// A replica.
    Replica {
        /// Where one was looked for.
        place: String,
    },
    /// A state in this replica: nothing was ever committed to it.
    State {
        /// Where it lies.
        place: String,
    },
    /// A state as early as that.
    Before {
        /// The first state that can be restored.
        first: Option<Point>,
    },
    /// An entry that far.
    Beyond {
        /// What was wanted.
        wanted: Txid,
        /// The newest entry.
        head: Txid,
    },
    /// The state at that time any more: around it, only some are kept.
    At {
        /// What was wanted.
        wanted: Timestamp,
        /// The nearest states that are kept.
        nearest: Nearest,
    },
    /// That state any more: around it, only some are kept.
    Kept {
        /// What was wanted.
        wanted: Txid,
        /// The nearest states that are kept.
        nearest: Nearest,
    },
}

/// The nearest states that can be restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nearest {
    /// The last one before.
    pub before: Option<Point>,
    /// The first one known after.
    pub after: Option<Point>,
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nothing::Replica { place } => {
                write!(f, "there is no replica in {place}: check the address")
            }
            Nothing::State { place } => {
                write!(f, "the replica in {place} holds no state of the database yet")
            }
            Nothing::Before { first: Some(Point { txid, time }) } => write!(
                f,
                "nothing is kept from that early: the first state that can be restored is txid {txid} of {time}"
            ),
            Nothing::Before { first: None } => {
                f.write_str("the replica holds no state that could be restored")
            }
            Nothing::Beyond { wanted, head } => {
                write!(f, "there is no txid {wanted}: the newest is {head}")
            }
            Nothing::At { wanted, nearest } => {
                write!(f, "the state at {wanted} is no longer kept: {nearest}")
            }
            Nothing::Kept { wanted, nearest } => {
                write!(f, "txid {wanted} is no longer kept: {nearest}")
            }
        }
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = |Point { txid, time }| format!("txid {txid} of {time}");
        match (self.before.map(point), self.after.map(point)) {
            (Some(before), Some(after)) => write!(f, "the nearest are {before} and {after}"),
            (Some(only), None) | (None, Some(only)) => write!(f, "the nearest is {only}"),
            (None, None) => f.write_str("no other state was found that can be restored"),
        }
    }
}

fn damaged(culprits: &[Culprit], wanted: Option<Txid>, nearest: &Nearest) -> String {
    let objects: Vec<String> =
        culprits.iter().map(|Culprit { key, why }| format!("{key}: {why}")).collect();
    let objects = objects.join("; ");
    match wanted {
        Some(wanted) => format!("txid {wanted} cannot be restored ({objects}): {nearest}"),
        None => format!("the state cannot be restored ({objects}): {nearest}"),
    }
}

impl PlanError {
    /// Whether something in the replica is damaged, missing, closed to us or another one, and the replica is not merely out
    /// of reach.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            PlanError::Damaged { .. } | PlanError::Unexpected { .. } => true,
            PlanError::Key(error) => {
                !matches!(error, KeyError::NoIdentity { .. } | KeyError::Identity(_))
            }
            _ => false,
        }
    }

    /// One object that cannot be used, when there is nothing to plan around it.
    pub(crate) fn object(key: Key, why: String) -> PlanError {
        let culprits = vec![Culprit { key, why }];
        PlanError::Damaged { wanted: None, culprits, nearest: Nearest::default() }
    }
}

impl From<KeyError> for PlanError {
    fn from(error: KeyError) -> PlanError {
        match error {
            KeyError::Store(error) => PlanError::Store(error),
            error => PlanError::Key(error),
        }
    }
}

impl From<CatalogError> for PlanError {
    fn from(error: CatalogError) -> PlanError {
        match error {
            CatalogError::Store(error) => PlanError::Store(error),
            CatalogError::State(error) => PlanError::State(error),
            CatalogError::Key(error) => error.into(),
            CatalogError::Object { key, source: ebbtide_replica::Error::Newer { what, why } } => {
                PlanError::Newer { key, why: format!("{what}: {why}") }
            }
            CatalogError::Object { key, source } => PlanError::object(key, source.to_string()),
            CatalogError::Missing { key, why } => {
                PlanError::object(key, format!("it is missing: {why}"))
            }
        }
    }
}
