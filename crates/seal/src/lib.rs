//! How objects are encrypted: secret keys, what they are called, and the key that each object has of its own. No I/O, no
//! clock, and nothing of what is in an object.
//!
//! A replica has two classes of secret keys ([`KeyUse`]): the *index key* opens what objects say of pages, *page keys* open
//! the pages. No secret key seals anything itself. Each object has a random [`Salt`] and, derived from that, from its header
//! and from its name, one [`ObjectKey`] for each class, so that:
//! - no nonce is ever used twice with one key, whatever is tried again, killed or copied: within an object the place of a
//!   part is its nonce, and two writers of one object have two salts;
//! - nothing that was moved, renamed or relabelled decrypts.
//!
//! Keys are overwritten where they are dropped, and what handles them runs [`scrubbed`], so that neither stack nor heap has
//! them afterwards.
//!
//! `docs/format.md` is the same for a reader in any language; the words that are ours are in `docs/glossary.md`.

mod key_bytes;
mod key_id;
mod key_use;
mod keys;
mod object_key;
mod salt;
mod scrub;
mod secret_key;
mod wrap;

pub use key_bytes::KeyBytes;
pub use key_id::KeyId;
pub use key_use::KeyUse;
pub use keys::Keys;
pub use object_key::{ObjectKey, TAG_SIZE};
pub use salt::Salt;
pub use scrub::{handles_secrets, scrubbed};
pub use secret_key::SecretKey;
pub use wrap::{Unwrap, UnwrapError, Wrap};
