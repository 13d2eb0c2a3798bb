//! The rowids between which two tables may differ, found by their pages.
//!
//! A row with the same rowid and the same record is the same, if its record is all on its page. Where two such rows follow
//! each other on both sides, there is nothing in between. So whatever lies between rows that are not neighbours on both
//! sides is all that can differ; leaves with the same bytes are passed over as a whole.

use std::cmp::Ordering;

use super::super::error::RowsError;
use super::leaves::{Leaves, Pages};

/// What the next step of both walks came to.
enum Step {
    /// The same rows from the first to the last of these rowids, and no others in between.
    Equal(i64, i64),
    /// Something else.
    Other,
}

/// Tells each range of rowids, in ascending order, outside of which both tables have the same rows; `roots` are the root
/// pages of the table.
pub(super) fn unequal(
    (old, new): (Pages<'_>, Pages<'_>),
    roots: (u32, u32),
    tell: &mut dyn FnMut((i64, i64)) -> Result<(), RowsError>,
) -> Result<(), RowsError> {
    let (mut old, mut new) = (Leaves::new(old, roots.0), Leaves::new(new, roots.1));
    // From here on nothing is known to be equal.
    let mut from = Some(i64::MIN);
    let mut follows_equal = false;
    let mut is_sound = old.next_leaf().and(new.next_leaf()).is_some();
    while is_sound && old.has_row() && new.has_row() {
        let Some((step, sound)) = step(&mut old, &mut new) else { break };
        is_sound = sound;
        match step {
            Step::Equal(first, last) => {
                if !follows_equal
                    && let Some(before) = first.checked_sub(1)
                    && let Some(from) = from.filter(|from| *from <= before)
                {
                    tell((from, before))?;
                }
                from = last.checked_add(1);
                follows_equal = true;
            }
            Step::Other => follows_equal = false,
        }
    }
    // Also what could not be looked at; nothing is left if both sides ended with equal rows.
    let is_end = is_sound && follows_equal && !old.has_row() && !new.has_row();
    match from {
        Some(from) if !is_end => tell((from, i64::MAX)),
        _ => Ok(()),
    }
}

/// Looks at the present rows, and goes on; `None` if a page is not as it should be, and else whether the next one is.
fn step(old: &mut Leaves<'_>, new: &mut Leaves<'_>) -> Option<(Step, bool)> {
    let both = |a: Option<()>, b: Option<()>| a.and(b).is_some();
    if let (Some(here), Some(there)) = (old.first_page(), new.first_page())
        && here == there
        && old.whole_page().is_some()
    {
        let (first, last) = old.bounds()?;
        let is_sound = both(old.next_leaf(), new.next_leaf());
        return Some((Step::Equal(first, last), is_sound));
    }
    let (here, there) = (old.cell()?, new.cell()?);
    match here.rowid.cmp(&there.rowid) {
        Ordering::Less => Some((Step::Other, old.advance().is_some())),
        Ordering::Greater => Some((Step::Other, new.advance().is_some())),
        Ordering::Equal => {
            let is_equal = here.record.is_some() && here.record == there.record;
            let rowid = here.rowid;
            let is_sound = both(old.advance(), new.advance());
            Some((if is_equal { Step::Equal(rowid, rowid) } else { Step::Other }, is_sound))
        }
    }
}
