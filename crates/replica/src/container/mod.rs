//! The one format of all objects: header, blocks of page images, index, footer.
//!
//! An object is written as a stream by a [`Writer`] and read by ranges from its end: [`Index::parse`] turns its first
//! and last bytes into an [`Index`], and each [`Block`] turns its own bytes into page images. What a reader may rely on:
//! - Every byte is under a check: the header and the index under the footer's root, the footer and each block under a
//!   CRC32, and the pages themselves under the entries' content hashes, by a [`ContentCheck`].
//! - The parts tile the object, so that there is no byte that no part owns.
//! - Each block decodes by itself, also one whose images are differences: the image before is in the same block.
//! - Entries chain by their own bytes, whatever object they lie in, so that a pack proves the same history as the
//!   segments that it was merged from.
//!
//! `docs/format.md` describes it for other languages.

mod arena;
mod block;
mod body;
mod by_page;
mod chains;
mod content;
mod difference;
mod document;
mod envelope;
mod footer;
mod header;
mod index;
pub mod layout;
pub mod limits;
mod merge;
mod open;
mod opened;
mod opener;
mod order;
mod outside;
mod packer;
mod parse;
mod recast;
mod records;
mod rows;
mod rows_reader;
mod rules;
mod sealer;
mod shape;
mod table;
mod writer;

pub use block::{Block, BlockScratch};
pub use content::{ContentCheck, page_hashes};
pub use document::DocumentObject;
pub use envelope::{Envelope, SUITE};
pub use footer::Footer;
pub use header::{Contents, Header, Kind};
pub use index::{Index, PageRef, Parsed};
pub use merge::Merge;
pub use open::EntryStart;
pub use opener::Opener;
pub use outside::{Outside, OutsideCheck};
pub use parse::IndexReader;
pub use recast::Recast;
pub use sealer::{Sealer, Sealing};
pub use shape::{BlockKind, Codec};
pub use writer::{Finished, Writer};
