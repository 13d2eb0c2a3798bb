//! The horizon of a copy in another form. A horizon names objects by their sizes and roots, and those of the copy have others.

use std::collections::HashMap;

use ebbtide_catalog::{CatalogError, index_keys};
use ebbtide_replica::container::{DocumentObject, Footer};
use ebbtide_replica::{Horizon, HorizonContents, HorizonObject, Key, Manifest};
use ebbtide_store::Store;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::CopyError;
use crate::wanted::names;

/// How many footers are read at once.
const FOOTERS_AT_ONCE: usize = 16;

/// The horizon as it is in the target: with the sizes and roots that the objects have there. What is not there, because it
/// is damaged at the source or went into a pack, keeps what it has in the source; a segment or pack needs no root, and
/// nothing else serves without its own. The horizon before it counts only if the target has it.
pub(crate) async fn in_target(mut horizon: Horizon, to: &dyn Store) -> Result<Horizon, CopyError> {
    let names = names(to).await.map_err(CopyError::Target)?;
    let there = &names;
    let HorizonContents { number, previous, objects, condemned, held, .. } = &mut horizon.contents;
    let named = stream::iter(std::mem::take(objects)).map(|object| async move {
        let Some(&size) = there.get(&object.name) else { return Ok::<_, CopyError>(object) };
        let root = root_of(to, object.name, size).await?;
        let HorizonObject { proved, .. } = object;
        Ok(HorizonObject { proved, ..HorizonObject::new(object.name, size, &root) })
    });
    *objects = named.buffered(FOOTERS_AT_ONCE).try_collect().await?;
    for object in condemned.iter_mut().chain(held) {
        object.size = there.get(&object.name).copied().unwrap_or(object.size);
    }
    *previous = match before(*number, there) {
        Some((key, size)) => Some(HorizonContents::naming(&root_of(to, key, size).await?)),
        None => None,
    };
    Ok(horizon)
}

/// The horizon before the one with this number, if it is there.
fn before(number: u64, there: &HashMap<Key, u64>) -> Option<(Key, u64)> {
    let key = Key::Horizon(number.checked_sub(1).filter(|&number| number > 0)?);
    there.get(&key).map(|&size| (key, size))
}

/// The root in the footer of an object of the target.
async fn root_of(to: &dyn Store, key: Key, size: u64) -> Result<[u8; 32], CopyError> {
    let begin = size.saturating_sub(Footer::SIZE as u64);
    let bytes = to.get_range(&key, begin..size).await.map_err(CopyError::Target)?;
    let footer = Footer::parse(&bytes);
    Ok(footer
        .map_err(|source| CopyError::TargetReplica(CatalogError::Object { key, source }))?
        .root)
}

/// Whether the target, which says `manifest` of itself, has the horizon of this name from here, and not from somebody who
/// has pruned the copy.
pub(crate) async fn is_there(
    horizon: &Horizon,
    to: &dyn Store,
    manifest: &Manifest,
) -> Result<bool, CopyError> {
    let key = horizon.key();
    let body = to.get(&key, DocumentObject::OBJECT_SIZE_MAX).await.map_err(CopyError::Target)?;
    let keys = index_keys(to, manifest, key, &body).await.map_err(CopyError::TargetReplica)?;
    let opened = Horizon::open(&body, &keys);
    let (there, _) =
        opened.map_err(|source| CopyError::TargetReplica(CatalogError::Object { key, source }))?;
    Ok(in_any_form(there) == in_any_form(horizon.clone()))
}

/// The horizon without what is another in each form.
fn in_any_form(mut horizon: Horizon) -> Horizon {
    let HorizonContents { previous, objects, condemned, held, .. } = &mut horizon.contents;
    *previous = None;
    for object in objects {
        *object =
            HorizonObject { proved: object.proved, ..HorizonObject::new(object.name, 0, &[0; 32]) };
    }
    for object in condemned.iter_mut().chain(held) {
        object.size = 0;
    }
    horizon
}
