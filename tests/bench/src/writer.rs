//! The application: a process of its own, with SQLite as rusqlite bundles it, in WAL mode with `synchronous = NORMAL` and
//! a busy time-out of five seconds, and everything else as SQLite has it. Each commit inserts a row of about 100 bytes.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ebbtide_testkit::Random;
use rusqlite::{Connection, Statement};
use serde_json::json;

use crate::Result;
use crate::stats::percentile;

/// What the application is to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database, or with `many` the directory of databases.
    pub(crate) path: PathBuf,
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Task {
    /// Makes a database of about so many bytes, checkpoints, and ends.
    Fill { bytes: u64 },
    /// Commits so many times, with this mean pause, and tells each commit's times.
    Pace { commits: u64, pause_micros: u32 },
    /// Commits without a pause for so many seconds, and tells how that went.
    Saturate { seconds: u64 },
    /// Commits a row of so many bytes so many times without a pause, and tells how that went.
    Large { commits: u32, bytes: usize, content: Content },
    /// One transaction of so many bytes, and tells its times.
    Once { bytes: u64 },
    /// A commit a second in each of the first so many databases of a directory, for so many seconds.
    Many { active: usize, seconds: u64 },
    /// Opens the database for each of so many commits and closes it, as commands and CGI do, with a pause in between, and
    /// tells how long that takes.
    Reopen { times: u32, pause_millis: u64 },
    /// Commits so many times in pages that are spread over a table.
    Touch { commits: u64 },
}

/// What a large row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Content {
    /// Words, which LZ4 makes short.
    Text,
    /// Bytes that nothing makes short.
    Random,
}

const INSERT: &str = "INSERT INTO t (at, body) VALUES (?, ?)";

/// Microseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "an application dates its rows by the clock")]
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A connection as the application has it.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, at INTEGER, body BLOB)",
    )?;
    Ok(connection)
}

/// Does the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Task::Many { active, seconds } = args.task {
        return many(&args.path, active, seconds);
    }
    if let Task::Reopen { times, pause_millis } = args.task {
        return reopen(&args.path, times, Duration::from_millis(pause_millis));
    }
    let connection = open(&args.path)?;
    let mut random = Random::new(7);
    match args.task {
        Task::Fill { bytes } => return fill(&connection, bytes, &mut random),
        Task::Pace { commits, pause_micros } => {
            pace(&connection, commits, pause_micros, &mut random)?;
        }
        Task::Saturate { seconds } => saturate(&connection, seconds, &mut random)?,
        Task::Large { commits, bytes, content } => {
            large(
                &connection,
                commits,
                bytes,
                (content == Content::Random).then_some(&mut random),
            )?;
        }
        Task::Once { bytes } => once(&connection, bytes, &mut random)?,
        Task::Touch { commits } => touch(&connection, commits, &mut random)?,
        Task::Many { .. } | Task::Reopen { .. } => {}
    }
    // The database stays open until whoever measures has seen what there is to see.
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn fill(connection: &Connection, bytes: u64, random: &mut Random) -> Result<()> {
    let mut body = vec![0; 3_800];
    let mut insert = connection.prepare(INSERT)?;
    let mut left = bytes;
    while left > 0 {
        connection.execute_batch("BEGIN")?;
        for _ in 0..10_000 {
            random.fill(&mut body);
            insert.execute((micros().cast_signed(), &body))?;
            left = left.saturating_sub(4096);
            if left == 0 {
                break;
            }
        }
        connection.execute_batch("COMMIT")?;
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn insert_row(insert: &mut Statement<'_>, random: &mut Random) -> Result<()> {
    let mut body = [0; 100];
    random.fill(&mut body);
    insert.execute((micros().cast_signed(), &body[..]))?;
    Ok(())
}

fn pace(connection: &Connection, commits: u64, pause: u32, random: &mut Random) -> Result<()> {
    let mut insert = connection.prepare(INSERT)?;
    let begun = Instant::now();
    let mut due = Duration::ZERO;
    for index in 0..commits {
        // Between half of the pause and half as much again, so that no timer of a tool is met by chance.
        due += Duration::from_micros(u64::from(random.between(pause / 2, pause + pause / 2)));
        sleep(due.saturating_sub(begun.elapsed()));
        let begin = micros();
        insert_row(&mut insert, random)?;
        println!("{index} {begin} {}", micros());
    }
    println!("end");
    Ok(())
}

fn saturate(connection: &Connection, seconds: u64, random: &mut Random) -> Result<()> {
    let mut insert = connection.prepare(INSERT)?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let begin = Instant::now();
        insert_row(&mut insert, random)?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    let at = |share| percentile(&times, share);
    println!(
        "{}",
        json!({ "rate": rate, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1.0) })
    );
    Ok(())
}

fn large(
    connection: &Connection,
    commits: u32,
    bytes: usize,
    mut random: Option<&mut Random>,
) -> Result<()> {
    let mut insert = connection.prepare(INSERT)?;
    let mut body = Vec::new();
    let begun = Instant::now();
    let mut times = Vec::new();
    for commit in 0..commits {
        match &mut random {
            Some(random) => {
                body.resize(bytes, 0);
                random.fill(&mut body);
            }
            None => {
                body = format!("{commit:08} of the same words ").repeat(bytes / 27).into_bytes()
            }
        }
        let begin = Instant::now();
        insert.execute((micros().cast_signed(), &body))?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let at = |share| percentile(&times, share);
    println!("{}", json!({ "seconds": seconds, "p50": at(0.5), "p99": at(0.99), "max": at(1.0) }));
    Ok(())
}

fn once(connection: &Connection, bytes: u64, random: &mut Random) -> Result<()> {
    let mut body = vec![0; 3_800];
    let begin = micros();
    connection.execute_batch("BEGIN")?;
    let mut insert = connection.prepare(INSERT)?;
    for _ in 0..bytes.div_ceil(4096) {
        random.fill(&mut body);
        insert.execute((micros().cast_signed(), &body))?;
    }
    connection.execute_batch("COMMIT")?;
    println!("0 {begin} {}", micros());
    println!("end");
    Ok(())
}

/// Changes rows all over the table, one a commit, so that a long history lies on the same pages.
fn touch(connection: &Connection, commits: u64, random: &mut Random) -> Result<()> {
    let rows: i64 = connection.query_row("SELECT max(id) FROM t", [], |row| row.get(0))?;
    let mut update = connection.prepare("UPDATE t SET at = ? WHERE id = ?")?;
    for _ in 0..commits {
        let id = random.between(1, u32::try_from(rows)?);
        update.execute((micros().cast_signed(), id))?;
    }
    println!("end");
    Ok(())
}

fn reopen(path: &Path, times: u32, pause: Duration) -> Result<()> {
    let mut random = Random::new(7);
    let mut taken = Vec::new();
    for _ in 0..times {
        sleep(pause);
        let begin = Instant::now();
        let connection = open(path)?;
        insert_row(&mut connection.prepare(INSERT)?, &mut random)?;
        connection.close().map_err(|(_, error)| error)?;
        taken.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let at = |share| percentile(&taken, share);
    let mean = taken.iter().sum::<f64>() / f64::from(times);
    println!("{}", json!({ "mean": mean, "p50": at(0.5), "p99": at(0.99), "max": at(1.0) }));
    Ok(())
}

fn many(directory: &Path, active: usize, seconds: u64) -> Result<()> {
    let paths = (0..active).map(|index| directory.join(format!("{index}.db")));
    let connections = paths.map(|path| open(&path)).collect::<Result<Vec<_>>>()?;
    let inserts = connections.iter().map(|connection| connection.prepare(INSERT));
    let mut inserts = inserts.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut random = Random::new(7);
    let begun = Instant::now();
    println!("ready");
    for round in 0..seconds {
        for (index, insert) in inserts.iter_mut().enumerate() {
            let part = Duration::from_secs(1) * u32::try_from(index)? / u32::try_from(active)?;
            sleep((Duration::from_secs(round) + part).saturating_sub(begun.elapsed()));
            insert_row(insert, &mut random)?;
        }
    }
    println!("end");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
