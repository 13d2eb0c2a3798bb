//! `ebbtide page`: a replica in a browser.

use ebbtide_config::Listen;
use ebbtide_web::Server;

use super::unreadable;
use crate::args::Page;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::Source;

/// Runs the command, until a signal ends it.
///
/// # Errors
/// When there is no replica, or no listening at the address.
pub(crate) async fn run(args: Page) -> Result<Outcome, Failure> {
    let listen = Listen::new(&args.listen, args.listen_token_file);
    let listen = listen.map_err(|why| Failure::new(Code::Usage, format!("--listen: {why}")))?;
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    if ebbtide_catalog::identify(&*store, None).await.map_err(unreadable)?.is_none() {
        let why = format!("there is no replica in {}: check the address", store.describe());
        return Err(Failure::new(Code::Nothing, why));
    }
    let (address, keyring) = (source.location.to_string(), store.keyring().cloned());
    let server = Server::show(&listen, args.source, address, keyring).await;
    let server = server.map_err(|error| Failure::new(Code::Usage, error))?;
    output::line(server.address());
    output::flush();
    std::future::pending().await
}
