//! Why nothing is deleted. A variant exists where the caller acts differently.

use ebbtide_catalog::{CatalogError, PlanError};
use ebbtide_replica::{Error as FormatError, Key, Txid};
use ebbtide_store::StoreError;

/// Why a look at what may be deleted, or the deleting, ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// What the newest horizon relies on is gone: somebody else deletes in this replica.
    #[error(
        "nothing is deleted: {} that the newest horizon relies on is missing; somebody or something else deletes in this \
         replica, a lifecycle rule of the bucket perhaps", named(.0)
    )]
    Missing(Vec<Key>),
    /// A state that is to be kept cannot be restored from what is there.
    #[error("nothing is deleted: txid {txid}, which is to be kept, cannot be restored: {why}")]
    Damaged {
        /// The state.
        txid: Txid,
        /// Which objects stand in the way, and why.
        why: String,
    },
    /// The policy would give up so much that a person has to confirm it.
    #[error(
        "nothing is deleted: {why}; if that is meant, confirm it once: ebbtide prune --confirm --confirm-shrink"
    )]
    Shrinks {
        /// What would go.
        why: String,
    },
    /// Another one puts horizons at the same time.
    #[error("another prune was faster: nothing was done, run it again")]
    Overtaken,
    /// It is too late to take a condemning back.
    #[error("there is nothing to take back: {0}")]
    NothingToUndo(&'static str),
    /// What was to be written cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The replica cannot be read, or holds nothing.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Proving an object failed.
    #[error(transparent)]
    Proof(#[from] ebbtide_restore::Error),
}

impl From<CatalogError> for PruneError {
    fn from(error: CatalogError) -> PruneError {
        PruneError::Plan(error.into())
    }
}

/// The result of this crate.
pub type Result<T, E = PruneError> = std::result::Result<T, E>;

/// A few names, and how many more.
fn named(keys: &[Key]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = keys.iter().take(SHOWN).map(Key::to_string).collect();
    let more = match keys.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}
