//! The encoding of a database's text, as its first page states it.

use ebbtide_moment::Moment;
use ebbtide_wal::PageNumber;

/// Its name, as `PRAGMA encoding` gives it; nothing for a database without pages.
pub(crate) async fn encoding(moment: &Moment) -> ebbtide_moment::Result<Option<&'static str>> {
    if moment.pages() == 0 {
        return Ok(None);
    }
    let first = moment.page(PageNumber::ONE).await?;
    // Bytes 56 to 59 of the header (fileformat2.html, 1.3.13).
    Ok(match first.get(56..60) {
        Some([0, 0, 0, 2]) => Some("UTF-16le"),
        Some([0, 0, 0, 3]) => Some("UTF-16be"),
        Some([0, 0, 0, 1]) => Some("UTF-8"),
        // Nothing was written yet that has an encoding, or it is no database: SQLite says so.
        _ => None,
    })
}
