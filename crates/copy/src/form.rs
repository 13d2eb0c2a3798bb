//! In which form a copy is written.

use std::sync::Arc;

use ebbtide_seal::{SecretKey, Wrap};

/// In which form a copy is written. A replica is encrypted as a whole or not at all, and so is a copy.
#[derive(Debug, Clone, Default)]
pub enum Form {
    /// As the source is, object for object.
    #[default]
    Same,
    /// Encrypted, from a plain source.
    Encrypted {
        /// Wraps the keys of the copy for those who may have them.
        wrap: Arc<dyn Wrap>,
        /// The index key of a copy that is begun. One that goes on keeps its own, which the keyring of the target has or
        /// opens.
        index: SecretKey,
    },
    /// In plain text, from an encrypted source whose keyring opens all of it.
    Plain,
}
