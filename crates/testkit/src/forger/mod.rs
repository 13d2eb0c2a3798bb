//! A forger of replicas: whoever may write to a store, and knows the format. Every checksum of what comes out is right, and
//! anything else may be wrong.

mod object;
mod sums;

pub use object::Forged;
pub use sums::{add_up, with_same_digest};
