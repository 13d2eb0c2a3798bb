//! The pages that are free: the trunks of the list, and the pages that they name (SQLite, *Database File Format*, 1.5).

use super::super::btree::u32_at;
use super::super::error::RowsError;
use super::paged::Paged;

/// Trunks are read one after the other, because each names the next; of a longer list it is not known what is free. With
/// pages of 4 KiB so many name a gigabyte.
const TRUNKS_MAX: usize = 256;

/// The first trunk's place in the header of the database.
const FIRST_TRUNK_AT: usize = 32;

/// The free pages, ascending; nothing if the list is too long, or not sound.
pub(super) fn free_pages(side: &Paged<'_>) -> Result<Option<Vec<u32>>, RowsError> {
    let header = side.page(1)?;
    let Some(mut trunk) = header.and_then(|page| u32_at(&page, FIRST_TRUNK_AT)) else {
        return Ok(None);
    };
    let mut free = Vec::new();
    for _ in 0..=TRUNKS_MAX {
        if trunk == 0 {
            free.sort_unstable();
            return Ok(Some(free));
        }
        let Some(page) = side.page(trunk)? else { return Ok(None) };
        free.push(trunk);
        let Some(next) = named(&page, &mut free) else { return Ok(None) };
        trunk = next;
    }
    Ok(None)
}

/// Adds the pages that a trunk names; gives the next trunk.
fn named(page: &[u8], free: &mut Vec<u32>) -> Option<u32> {
    let count = usize::try_from(u32_at(page, 4)?).ok()?;
    if count > page.len() / 4 {
        return None;
    }
    for index in 0..count {
        free.push(u32_at(page, 8 + 4 * index)?);
    }
    u32_at(page, 0)
}
