//! The limits of one shipper.

use crate::rate_limiter::Rate;

/// Limits of one shipper.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The allowed rate of puts.
    pub puts: Rate,
    /// The largest size of the spool on the local disk, in bytes.
    pub spool_bytes_max: u64,
}
