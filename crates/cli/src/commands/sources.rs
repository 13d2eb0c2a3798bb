//! Several replicas of one database, read as one.

use std::sync::Arc;

use ebbtide_catalog::identify;
use ebbtide_replica::Manifest;
use ebbtide_store::{SeveralStores, Store};

use super::unreadable;
use crate::args::Restore;
use crate::exit::{Code, Failure};
use crate::logging;
use crate::source::Source;

/// The store of the first source, or of all of them, and where the first lies.
///
/// # Errors
/// When they are not of one replica, or none of them can be read.
pub(super) async fn open(
    first: &Source,
    args: &Restore,
) -> Result<(Arc<dyn Store>, String), Failure> {
    let mut stores = vec![first.open().await?];
    let (first_store, location) = (Arc::clone(&stores[0]), stores[0].address());
    if args.sources.len() == 1 {
        return Ok((stores.remove(0), location));
    }
    for source in &args.sources[1..] {
        stores.push(Source::find(source, &args.access)?.open().await?);
    }
    let (mut usable, mut found, mut failure) = (Vec::new(), None, None);
    for store in stores {
        let place = store.describe();
        match identify(&*store, None).await {
            Ok(Some(identity)) => {
                let Manifest { replica, encryption, .. } = identity.manifest;
                let (first, form) = *found.get_or_insert((replica, encryption));
                if first != replica {
                    let why =
                        format!("{place} has the replica {replica}, and another source {first}");
                    return Err(Failure::new(Code::Usage, why));
                }
                if form != encryption {
                    let why = format!(
                        "{place} has the replica in another form than the first source: one is encrypted and the other \
                         plain, or each with keys of its own. Name those of one form"
                    );
                    return Err(Failure::new(Code::Usage, why));
                }
                usable.push(store);
            }
            Ok(None) => logging::note(format_args!("there is no replica in {place}")),
            // Another source may have what this one cannot give.
            Err(error) => {
                logging::note(format_args!("{place} cannot be read: {error}"));
                failure = Some(unreadable(error));
            }
        }
    }
    match (usable.len(), failure) {
        (0, Some(failure)) => Err(failure),
        // The restore says what that means.
        (0, None) => Ok((first_store, location)),
        (1, _) => Ok((usable.remove(0), location)),
        _ => Ok((Arc::new(SeveralStores::new(usable)), location)),
    }
}
