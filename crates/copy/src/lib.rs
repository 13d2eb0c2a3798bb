//! Copies a replica from one store to another: to keep a second one, or to move to another provider; and keeps a second
//! one up to date.
//!
//! - **A copy that is interrupted is a replica.** Objects are put in the order of the history, and what an entry needs is
//!   put before it, so that at any moment the target ends with some entry of the source. The next copy goes on there.
//! - **Each object is proved on its way.** It is put only if its index has the root of its footer and each of its blocks
//!   has its CRC32, and it becomes visible only once all of it was read. What is damaged at the source is named, and not
//!   copied.
//! - **Nothing is overwritten.** Puts are create-only; an object of another size or another replica in the target is an
//!   error.
//! - **Encrypted objects are copied as they are.** They are proved without a key, and the wrapped keys come before the
//!   objects that name them.
//! - **A copy may have another form.** A plain replica is encrypted on its way, or an encrypted one decrypted: entry for
//!   entry and block for block, so that the entries, their chain and every state are the same. The form is the target's as a
//!   whole, and nothing of another form is put beside it.
//! - **The source may go on.** Segments that are merged into a pack and deleted meanwhile are found there.
//! - **What is kept is promised last.** Marks come after the history and horizons after both, so that a horizon never
//!   promises what is not there. What the newest horizon has condemned is not copied. The objects of a copy are younger
//!   than those that they are of, so nothing is deleted there any earlier.
//!
//! The words that are ours are in `docs/glossary.md`.

mod cast;
mod copy;
mod error;
mod form;
mod mirror;
mod object;
mod order;
mod promise;
mod proof;
mod recast;
mod since;
mod target;
mod wanted;

pub use copy::{Copied, Options, copy, copy_since};
pub use error::CopyError;
pub use form::Form;
pub use mirror::Mirror;
