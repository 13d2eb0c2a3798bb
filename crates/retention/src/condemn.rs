//! Puts the next horizon, which condemns what nothing needs any more.

use std::collections::BTreeSet;

use ebbtide_catalog::sealing;
use ebbtide_fault::point;
use ebbtide_replica::{
    Chain, Condemned, Horizon, HorizonContents, Key, KeyPrefix, Manifest, Txid, Written,
};
use ebbtide_store::{ErrorKind, Store};

use crate::error::{PruneError, Result};
use crate::inventory::Inventory;
use crate::outlook::Outlook;

/// How many horizons are kept: the newest, and the ones before it that an undo needs.
const HORIZONS_KEPT: u64 = 3;

/// The horizon that says what `outlook` found.
pub(crate) fn horizon(
    inventory: &Inventory,
    outlook: &Outlook,
    keep: Option<String>,
    by: &str,
) -> Result<Horizon> {
    let number = outlook.number;
    let fresh = outlook.unneeded.iter().map(|object| Condemned {
        name: object.key,
        size: object.size,
        since: number,
    });
    let condemned: Vec<Condemned> = fresh.chain(outlook.carried.iter().cloned()).collect();
    let states: Vec<_> = outlook.states.iter().map(|kept| kept.state.clone()).collect();
    let base = outlook.window.previous();
    let base = base.and_then(|base| states.iter().find(|state| state.txid == base));
    let manifest = inventory.survey.manifest();
    let before = match base {
        Some(base) => base.chain().unwrap_or(outlook.head.chain),
        None if outlook.window == Txid::FIRST => Chain::genesis(manifest.replica),
        None => {
            let txid = outlook.window;
            let why = "the state before it, which the window begins from, is not kept".to_owned();
            return Err(PruneError::Damaged { txid, why });
        }
    };
    let stored = inventory.horizon();
    let freed = stored.and_then(|stored| stored.horizon.contents.freed);
    let names = condemned.iter().filter_map(|object| segment(object.name));
    let contents = HorizonContents {
        number,
        previous: stored.map(|stored| HorizonContents::naming(&stored.root)),
        written: Written { time: outlook.now, by: by.to_owned() },
        keep,
        freed: names.chain(freed).max(),
        states,
        objects: outlook.objects.clone(),
        condemned,
        held: Vec::new(),
    };
    Ok(Horizon {
        replica: manifest.replica,
        page_size: manifest.page_size,
        number,
        window: outlook.window,
        before,
        head: outlook.head.txid(),
        chain: outlook.head.chain,
        digest: outlook.head.digest,
        contents,
    })
}

fn segment(key: Key) -> Option<Txid> {
    match key {
        Key::Log(first) => Some(first),
        _ => None,
    }
}

/// Puts a horizon, which counts unless somebody was faster.
pub(crate) async fn put(store: &dyn Store, manifest: &Manifest, horizon: &Horizon) -> Result<()> {
    let key = horizon.key();
    let body = match sealing(store, manifest).await? {
        Some(sealing) => horizon.seal(&sealing)?,
        None => horizon.encode()?,
    };
    point("prune.horizon.put");
    match store.put(&key, body.into()).await {
        Err(error) if error.kind() == ErrorKind::Exists => return Err(PruneError::Overtaken),
        put => put?,
    }
    point("prune.horizon.done");
    if !store.list(KeyPrefix::Horizon, Some(&key)).await?.is_empty() {
        return Err(PruneError::Overtaken);
    }
    Ok(())
}

/// Deletes all horizons but the newest ones. What the store does not let go stays.
pub(crate) async fn delete_old_horizons(store: &dyn Store, newest: u64) -> Result<()> {
    point("prune.horizons.old");
    let listed = store.list(KeyPrefix::Horizon, None).await?;
    let old: BTreeSet<Key> = listed
        .iter()
        .map(|object| object.key)
        .filter(|key| matches!(key, Key::Horizon(number) if number + HORIZONS_KEPT <= newest))
        .collect();
    let old: Vec<Key> = old.into_iter().collect();
    for (key, error) in store.delete_many(&old).await? {
        tracing::info!(object = %key, %error, "an old horizon stays");
    }
    Ok(())
}
