//! The pages of a transaction or of a database, as the caller hands them over.

use ebbtide_wal::PageNumber;

/// Receives one page.
pub type EachPage<'a, E> = dyn FnMut(PageNumber, &[u8]) -> Result<(), E> + 'a;

/// Visits pages in ascending order: those of a transaction, or every page of a database except the lock-byte page.
pub trait Pages<E>: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}

impl<E, F> Pages<E> for F where F: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}
