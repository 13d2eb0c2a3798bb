//! An encrypted replica from a program: `cargo run --release --example encrypted -- REPLICA IDENTITY OUTPUT`, where IDENTITY
//! is a file that `ebbtide keygen` has written.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::path::Path;

use ebbtide::{Identity, Replica, Txid, When};

/// Restores the newest state into a file; which one that is.
pub(crate) async fn restore(
    replica: &str,
    identity: &Path,
    output: &Path,
) -> ebbtide::Result<Txid> {
    let replica = Replica::open_as(replica, Identity::read(identity)?).await?;
    Ok(replica.restore(When::Newest, output).await?.point.txid)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(replica), Some(identity), Some(output)) = (args.next(), args.next(), args.next())
    else {
        return Err("usage: encrypted REPLICA IDENTITY OUTPUT".into());
    };
    let txid = restore(&replica, Path::new(&identity), Path::new(&output)).await?;
    writeln!(stdout(), "{output} is txid {txid}")?;
    Ok(())
}
