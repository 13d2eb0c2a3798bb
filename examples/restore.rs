//! A restore from a program: `cargo run --release --example restore -- REPLICA OUTPUT`.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::sync::Arc;

use ebbtide_restore::{Options, Progress, Target, restore};
use ebbtide_store::Location;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(replica), Some(output)) = (args.next(), args.next()) else {
        return Err("usage: restore REPLICA OUTPUT".into());
    };
    let store = replica.parse::<Location>()?.open().await?;
    let now = ebbtide_sidecar::clock::now();
    let options = Options::new(Target::Latest, output.into(), now);
    let report = restore(store, &options, &Arc::new(Progress::default())).await?;
    writeln!(
        stdout(),
        "{} is txid {}",
        options.output.display(),
        report.outline.point.state.txid()
    )?;
    Ok(())
}
