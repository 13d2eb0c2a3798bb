//! All replicas below one address, and how each is: from the store alone, because those that write them run on other hosts,
//! and may be what has stopped.
//!
//! Listings up to the next slash find them, whatever they are called ([`find`]). What is shown of one ([`Summary`]) comes from
//! the names of its objects and the newest of them, seven requests or so; of one that has not changed, from one request and
//! what was known before ([`Known`]).
//!
//! The words that are ours are in `docs/glossary.md`.

mod find;
mod known;
mod look;
mod member;
mod silence;
mod summary;

pub use find::find;
pub use known::Known;
pub use look::{Fleet, Open, Options, look};
pub use member::{LastDrill, Member};
pub use silence::Silence;
pub use summary::{Newest, Origin, Summary};
