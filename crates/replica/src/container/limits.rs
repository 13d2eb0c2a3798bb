//! What no object may exceed. A writer refuses to write more, and a reader refuses to read more, before it allocates.

/// The version of the format that this crate reads and writes.
pub const VERSION: u16 = 1;

/// A writer closes a block of pages once another page would take it beyond this many raw bytes; a page that is larger
/// has a block of its own. Smaller blocks compress worse; larger ones cost more to read for one page.
pub const BLOCK_RAW_TARGET: usize = 128 * 1024;

/// No block has more raw bytes than this, and none has more stored bytes than raw ones. This bounds what a reader has in
/// memory for one block, whatever the block claims.
pub const BLOCK_RAW_MAX: usize = 1024 * 1024;

/// A writer closes a block of page hashes once it has this many.
pub const BLOCK_HASHES_MAX: usize = BLOCK_RAW_MAX / crate::PageHash::SIZE;

/// No document is longer: enough for 100,000 states and as many objects.
pub const DOCUMENT_SIZE_MAX: usize = 1 << 26;

/// No object has more entries than this.
pub const ENTRIES_MAX: u32 = 1 << 20;

/// No index is longer than this: enough for two tebibytes of blocks at the writer's target.
pub const INDEX_SIZE_MAX: u64 = 1 << 28;

/// The details of all entries of an object together have no more bytes than this.
pub const DETAILS_SIZE_MAX: u32 = 1 << 24;

/// No object whose images lie in the order of the pages has more of them: whoever reads it needs all of their hashes at
/// once, and their order.
pub const BY_PAGE_IMAGES_MAX: u32 = 1 << 18;
