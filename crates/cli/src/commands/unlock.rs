//! `ebbtide unlock`.

use ebbtide_seal::KeyUse;
use ebbtide_state::add_index_key;
use ebbtide_store::take_key;

use super::wrapped;
use crate::args::Unlock;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::{Source, address};

/// Runs the command.
///
/// # Errors
/// When the index key is not opened, or cannot be stored.
pub(crate) async fn run(args: Unlock) -> Result<Outcome, Failure> {
    if args.access.identity.opener().is_none() {
        let why =
            "name an identity that opens the index key: --identity FILE, or - for standard input";
        return Err(Failure::new(Code::Usage, why));
    }
    let source = match &args.replica {
        Some(replica) => {
            let location = address(replica)?;
            Source::of_database((&args.database).into(), location, &args.access)
        }
        None => Source::find(&args.database, &args.access)?,
    };
    let Some(directory) = source.state_directory() else {
        let why = format!("{} is no database: name the one that is followed", args.database);
        return Err(Failure::new(Code::Usage, why));
    };
    let store = source.open_as_owner().await?;
    let (manifest, index) = wrapped::encrypted(&store).await?;
    let key = take_key(&*store, manifest.replica, index, KeyUse::Index).await;
    let key = key.map_err(|error| Failure::new(Code::of_key(&error), error))?;
    add_index_key(&directory, &key).map_err(|error| Failure::new(Code::Failed, error))?;
    output::line(format_args!(
        "the index key {index} is in {}: `ebbtide replicate` carries on from there",
        directory.display()
    ));
    Ok(Outcome::Done)
}
