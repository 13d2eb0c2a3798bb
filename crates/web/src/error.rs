//! Why nobody can be served.

use std::io;

/// Why nobody can be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no listening at the address.
    #[error("listen at {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// An address to which something is told cannot be used. It is as a rule a secret, and not in the message.
    #[error("{key}: {why}")]
    Address {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        why: String,
    },
    /// The secret cannot be used.
    #[error("webhook-secret-file = {0}")]
    Secret(String),
    /// The token cannot be used.
    #[error("listen-token-file = {0}")]
    Token(String),
}
