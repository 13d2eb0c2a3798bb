//! Yesterday's rows from a program, without a restore: `cargo run --release --example yesterday -- REPLICA QUERY`.

use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::Duration;

use ebbtide::{Replica, When};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(replica), Some(query)) = (args.next(), args.next()) else {
        return Err("usage: yesterday REPLICA QUERY [SECONDS]".into());
    };
    let seconds = args.next().map_or(Ok(24 * 3600), |seconds| seconds.parse())?;
    let replica = Replica::open(&replica).await?;
    let moment = replica.at(When::ago(Duration::from_secs(seconds))).await?;
    let answer = moment.query(move |past| past.query_row(&query, [], |row| row.get::<_, i64>(0)));
    writeln!(stdout(), "{} at txid {} of {}", answer.await?, moment.txid(), moment.time())?;
    Ok(())
}
