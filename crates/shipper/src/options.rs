//! The limits of one shipper, and for whom it encrypts.

use std::sync::Arc;

use ebbtide_seal::Wrap;

use crate::rate_limiter::Rate;

/// Limits of one shipper, and for whom it encrypts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The allowed rate of puts.
    pub puts: Rate,
    /// The largest size of the spool on the local disk, in bytes.
    pub spool_bytes_max: u64,
    /// What wraps the keys of an encrypted replica for those who may have them. Without it, a replica is in plain text.
    pub wrap: Option<Arc<dyn Wrap>>,
}
