//! `ebbtide page`: a replica, or all of a fleet, in a browser.

use std::sync::Arc;

use ebbtide_config::Listen;
use ebbtide_fleet::{Member, Open, Options};
use ebbtide_sidecar::clock;
use ebbtide_store::{KeyedStore, Keyring, Location, Store};
use ebbtide_web::{Elsewhere, Server, ShownFleet, ShownReplica};
use futures::future::FutureExt as _;
use tokio::runtime::Handle;

use super::{fleet, unreadable};
use crate::args::Page;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::Source;

/// Runs the command, until a signal ends it.
///
/// # Errors
/// When there is no replica, or no listening at the address.
pub(crate) async fn run(args: Page) -> Result<Outcome, Failure> {
    let listen = Listen::new(&args.listen, args.listen_token_file.clone());
    let listen = listen.map_err(|why| Failure::new(Code::Usage, format!("--listen: {why}")))?;
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    let identity = ebbtide_catalog::identify(&*store, None).await.map_err(unreadable)?;
    let (elsewhere, open) = match identity {
        Some(_) => {
            let replica = ShownReplica { name: args.source, address: source.location.to_string() };
            (Elsewhere::Replica(replica), opener(store.keyring().cloned()))
        }
        None => all_below(&args, source.location).await?,
    };
    let server = Server::show(&listen, elsewhere, open).await;
    let server = server.map_err(|error| Failure::new(Code::Usage, error))?;
    output::line(server.address());
    output::flush();
    std::future::pending().await
}

/// Opens a replica with what is known of its keys.
fn opener(keyring: Option<Arc<Keyring>>) -> Arc<Open> {
    Arc::new(move |place: Location| {
        let keyring = keyring.clone();
        async move {
            let store = place.open().await?;
            Ok(match keyring {
                Some(keyring) => Arc::new(KeyedStore::new(store, keyring)) as Arc<dyn Store>,
                None => store,
            })
        }
        .boxed()
    })
}

/// The replicas below `root`.
async fn all_below(args: &Page, root: Location) -> Result<(Elsewhere, Arc<Open>), Failure> {
    let opener = fleet::Opener(args.access.identity.opener());
    let options = Options { with_history: args.history, has_identity: opener.0.is_some() };
    let members = look(&root, &opener, options, false).await?;
    if members.is_empty() {
        let why = format!("there is no replica in {root} or below it: check the address");
        return Err(Failure::new(Code::Nothing, why));
    }
    let (address, open, runtime) = (root.to_string(), opener.each(), Handle::current());
    let again = move || {
        let looked = runtime.block_on(look(&root, &opener, options, true));
        looked.map_err(|failure| failure.to_string())
    };
    let fleet = ShownFleet::new(address, members, Arc::new(again));
    Ok((Elsewhere::Fleet(fleet), Arc::new(open)))
}

/// How they are now, with what this user's drills of them came to.
async fn look(
    root: &Location,
    opener: &fleet::Opener,
    options: Options,
    quiet: bool,
) -> Result<Vec<Member>, Failure> {
    let found = fleet::members(root, opener, options, clock::now(), quiet).await?;
    Ok(found.members)
}
