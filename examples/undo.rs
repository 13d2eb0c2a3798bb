//! Takes one transaction back in a database that has gone on since, all or nothing:
//! `cargo run --release --example undo -- REPLICA TXID DATABASE`.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::path::Path;

use ebbtide::rows::{Applied, Options, Policy};
use ebbtide::rusqlite::Connection;
use ebbtide::rusqlite::config::DbConfig;
use ebbtide::{Replica, Txid, When, undo};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(replica), Some(txid), Some(path)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: undo REPLICA TXID DATABASE".into());
    };
    let replica = Replica::open(&replica).await?;
    let applied = take_back(&replica, txid.parse()?, Path::new(&path)).await?;
    for conflict in &applied.conflicts {
        writeln!(stdout(), "conflict {} {}: {}", conflict.table, conflict.row, conflict.what)?;
    }
    writeln!(stdout(), "{}", if applied.is_done { "undone" } else { "nothing was changed" })?;
    Ok(())
}

/// Takes a transaction back in the database at `path`; if a row was changed again, nothing is changed.
pub(crate) async fn take_back(
    replica: &Replica,
    txid: Txid,
    path: &Path,
) -> Result<Applied, Box<dyn Error>> {
    // What is written into a database is proved page by page.
    let before = replica.at_proved(When::Before(txid)).await?;
    let after = replica.at_proved(When::Txid(txid)).await?;
    let mut steps = undo(&before, &after, Options::default(), Policy::Strict, false).await?;
    let database = Connection::open(path)?;
    // The log is the replica's to read: no checkpoint, and none at the close.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    database.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(steps.apply(&database)?)
}
