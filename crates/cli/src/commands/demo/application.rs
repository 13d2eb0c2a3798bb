//! The application of the demonstration: it serves visits, takes an order now and then, and once deletes too much.

use std::error::Error;
use std::io::{BufRead as _, stdin};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(40);
/// So many visits lead to one order.
const VISITS_PER_ORDER: u32 = 24;
/// So many customers order in turn.
const CUSTOMERS: u32 = 9;

/// What it is told to do by mistake. The condition should have had another one.
pub(super) const ACCIDENT: &str = "DELETE FROM orders WHERE customer = 7";

const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY, page TEXT);
    CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer INTEGER, total REAL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45)
    INSERT INTO orders SELECT i, 1 + i % 9, 10.5 * i FROM n WHERE NOT EXISTS (SELECT 1 FROM orders);";

/// Writes until standard input is closed; each line of it is an accident.
pub(super) fn write(path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(10))?;
    database.execute_batch(TABLES)?;
    let (accidents, told) = mpsc::channel();
    thread::spawn(move || stdin().lock().lines().try_for_each(|_| accidents.send(()).ok()));
    for visit in 0_u32.. {
        match told.recv_timeout(PAUSE) {
            Ok(()) => drop(database.execute(ACCIDENT, [])?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        database.execute("INSERT INTO visits (page) VALUES ('/')", [])?;
        if visit % VISITS_PER_ORDER == 0 {
            // The seventh has ordered before; what it orders from now on would be another row to count.
            let customer = 1 + visit / VISITS_PER_ORDER % CUSTOMERS;
            let customer = if customer == 7 { CUSTOMERS } else { customer };
            let order = "INSERT INTO orders (customer, total) VALUES (?1, 12.5)";
            database.execute(order, [customer])?;
        }
    }
    Ok(())
}
