//! A database for each tenant, which come and go: `cargo run --release --example tenants`.
//!
//! This process manages them and answers requests; workers, one process a tenant, write. A request is answered only once
//! its commit is durable in the tenant's replica. A tenant that is not needed is let go after a last sync, its database is
//! deleted, and the next request restores it.
//!
//! The manager writes no database itself: SQLite's locks are the process's, and not the connection's, so that a follower
//! would not see a write of its own process begin. Where one process has to do both, run `ebbtide replicate` beside it.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ebbtide_config::Database;
use ebbtide_restore::{Options, Progress, Target, restore};
use ebbtide_sidecar::{Followed, Hooks, How, Sidecar};
use ebbtide_store::Location;
use rusqlite::Connection;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TENANTS: usize = 3;
const REQUESTS: u32 = 5;
const LAST_SYNC: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        return work(Path::new(&path));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(manage())
}

/// A worker: writes a row for each line that it reads, and says when it is committed.
fn work(path: &Path) -> Result<()> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(5))?;
    database
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS orders (what)")?;
    say("ready")?;
    for line in stdin().lock().lines() {
        database.execute("INSERT INTO orders VALUES (?1)", [line?])?;
        say("committed")?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A tenant that is there: its worker, and its database as it is followed.
struct Tenant {
    worker: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    followed: Followed,
}

/// Where a tenant's database is, and its replica.
struct Place {
    database: PathBuf,
    replica: Location,
}

async fn manage() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("ebbtide-tenants-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    say(&format!("everything is in {}", directory.display()))?;
    let mut sidecar = Sidecar::new(Hooks::default());
    for round in 1..=2 {
        for number in 1..=TENANTS {
            let place = Place::of(&directory, number)?;
            let mut tenant = Tenant::arrive(&place, &mut sidecar).await?;
            for request in 1..=REQUESTS {
                tenant.serve(&format!("order {request} of round {round}")).await?;
            }
            let rows = tenant.leave(&place, &mut sidecar).await?;
            say(&format!(
                "round {round}: tenant {number} has {rows} orders, each of them durable"
            ))?;
            if rows != round * REQUESTS {
                return Err("orders are missing".into());
            }
        }
    }
    Ok(())
}

impl Place {
    fn of(directory: &Path, number: usize) -> Result<Place> {
        let database = directory.join(format!("tenant-{number}.db"));
        let replica = directory.join(format!("replica-{number}"));
        let replica = replica.to_str().ok_or("the path is not text")?.parse()?;
        Ok(Place { database, replica })
    }

    /// Brings the database back, if it was here before.
    async fn restore(&self) -> Result<()> {
        let store = self.replica.open().await?;
        let now = ebbtide_sidecar::clock::now();
        let options = Options::new(Target::Latest, self.database.clone(), now);
        match restore(store, &options, &Arc::new(Progress::default())).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_nothing() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Tenant {
    async fn arrive(place: &Place, sidecar: &mut Sidecar) -> Result<Tenant> {
        place.restore().await?;
        let mut worker = Command::new(std::env::current_exe()?)
            .arg(&place.database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = worker.stdin.take().ok_or("no standard input")?;
        let from = BufReader::new(worker.stdout.take().ok_or("no standard output")?);
        let database = Database::new(place.database.clone(), place.replica.clone());
        let mut tenant = Tenant { worker, to, from, followed: sidecar.add(database, WAITING)? };
        tenant.hear("ready")?;
        tenant.followed.following().await?;
        Ok(tenant)
    }

    /// Has the worker commit, and returns once that is durable.
    async fn serve(&mut self, request: &str) -> Result<()> {
        writeln!(self.to, "{request}")?;
        self.hear("committed")?;
        self.followed.durable().await?;
        Ok(())
    }

    fn hear(&mut self, expected: &str) -> Result<()> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        if line.trim_end() == expected { Ok(()) } else { Err("the worker failed".into()) }
    }

    /// Ends the worker, lets the database go, and deletes it; how many orders it had.
    async fn leave(self, place: &Place, sidecar: &mut Sidecar) -> Result<u32> {
        let Tenant { mut worker, to, from, .. } = self;
        drop((to, from));
        worker.wait()?;
        sidecar.remove(&place.database);
        let ended = tokio::time::timeout(LAST_SYNC, sidecar.next_ended()).await?;
        ended.ok_or("it was not followed")?.result?;
        let database = Connection::open(&place.database)?;
        let rows = database.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
        database.close().map_err(|(_, error)| error)?;
        for suffix in ["", "-wal", "-shm"] {
            let mut path = place.database.clone().into_os_string();
            path.push(suffix);
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error.into());
            }
        }
        Ok(rows)
    }
}

/// A new tenant's database is made by its worker.
const WAITING: How = How {
    consent: ebbtide_sidecar::Consent { adopt: false, take_back: false, begin_anew: false },
    is_once: false,
    is_successor: false,
    may_come: true,
    wrap: None,
};
