//! A forger of replicas: whoever may write to a store, and knows the format. Every checksum of what comes out is right, and
//! anything else may be wrong.

mod metered;
mod object;
mod sums;
mod whim;

pub use metered::Metered;
pub use object::Forged;
pub use sums::{add_up, with_same_digest};
pub use whim::{Choices, change, cover_up};
