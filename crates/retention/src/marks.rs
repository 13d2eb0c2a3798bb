//! The marks of a replica, as a policy takes them.

use ebbtide_catalog::{Marks, StoredMark, read_marks};

use crate::error::Result;
use crate::inventory::Inventory;
use crate::period::Period;
use crate::select::Marked;

/// All marks that can be read. One whose period cannot be read keeps its state for ever.
pub(crate) async fn marks(inventory: &mut Inventory) -> Result<Vec<Marked>> {
    let Marks { marks, .. } = read_marks(inventory.store(), inventory.survey.manifest()).await?;
    for StoredMark { mark, .. } in &marks {
        inventory.survey.add_mark(mark.txid, mark.chain);
    }
    let marked = |StoredMark { mark, stored }: StoredMark| Marked {
        txid: mark.txid,
        stored,
        lasts: match mark.contents.lasts.map(|lasts| lasts.parse()) {
            Some(Ok(lasts)) => lasts,
            Some(Err(_)) | None => Period::Forever,
        },
    };
    Ok(marks.into_iter().map(marked).collect())
}
