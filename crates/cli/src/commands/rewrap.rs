//! `ebbtide rewrap`.

use std::sync::Arc;

use ebbtide_replica::{Key, KeyDocument};
use ebbtide_seal::Wrap;
use ebbtide_store::{KeyError, Store, WrappedKey};

use super::wrapped::{self, WrappedKeys};
use crate::args::Rewrap;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::{logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When a key is not opened, or the store fails. What was done by then stays done, and the next run does the rest.
pub(crate) async fn run(args: Rewrap) -> Result<Outcome, Failure> {
    let recipients = args.to.recipients()?.ok_or_else(|| {
        Failure::new(Code::Usage, "for whom? Name --recipient age1… or --recipients-file FILE")
    })?;
    if args.access.identity.opener().is_none() {
        let why = "name an identity that opens the keys now: --identity FILE";
        return Err(Failure::new(Code::Usage, why));
    }
    let store = Source::find(&args.source, &args.access)?.open_as_owner().await?;
    let (manifest, index) = wrapped::encrypted(&store).await?;
    let keys = WrappedKeys::list(&store).await?;
    // All of them are opened before anything changes.
    let mut documents = Vec::new();
    for id in keys.ids() {
        match wrapped::open(&store, &manifest, index, id).await {
            // A start or a copy that was killed before its manifest leaves one.
            Err(error @ KeyError::Stray { .. }) => {
                logging::note(format_args!("{error}; it stays as it is"));
            }
            opened => {
                documents.push(opened.map_err(|error| Failure::new(Code::of_key(&error), error))?);
            }
        }
    }
    let (mut removed, mut left) = (0u64, 0u64);
    for document in &documents {
        let new = wrap(&store, &recipients, document).await?;
        if args.keep_old {
            continue;
        }
        for old in keys.objects(document.id()).filter(|&old| old != new) {
            match store.delete(&old).await {
                Ok(()) => removed += 1,
                Err(error) => {
                    logging::note(format_args!("{old} stays: {error}"));
                    left += 1;
                }
            }
        }
    }
    let wrapped = terminal::number_of(documents.len() as u64, "key");
    let recipients = terminal::number_of(recipients.count() as u64, "recipient");
    output::line(format_args!("{wrapped} wrapped for {recipients}; {removed} older forms removed"));
    if left > 0 {
        let forms = terminal::number_of(left, "older form");
        output::line(format_args!(
            "{forms} could not be removed: those recipients can still open them"
        ));
    }
    Ok(Outcome::Done)
}

async fn wrap(
    store: &Arc<dyn Store>,
    recipients: &dyn Wrap,
    document: &KeyDocument,
) -> Result<Key, Failure> {
    let wrapped = WrappedKey::new(recipients, document);
    let wrapped = wrapped.map_err(|error| Failure::new(Code::Failed, error))?;
    wrapped.put(&**store).await.map_err(|error| Failure::new(Code::Failed, error))
}
