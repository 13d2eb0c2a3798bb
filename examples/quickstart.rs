//! ebbtide at work, with nothing to set up: `cargo run --release --example quickstart`.
//!
//! A child process writes into a real SQLite database. This process follows it into a replica in a directory, shows how
//! far behind the replica is, restores the database to a moment in the middle, and checks that the rows are exactly
//! those of that moment. Everything lies in a fresh directory, whose path is printed.

use std::error::Error;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ebbtide_config::Database;
use ebbtide_replica::Timestamp;
use ebbtide_restore::{Options, Progress, Target, restore};
use ebbtide_sidecar::follow::Status;
use ebbtide_sidecar::{Hooks, How, Sidecar};
use ebbtide_store::Location;
use rusqlite::Connection;
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const COMMITS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(110);

fn main() -> Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        return write(Path::new(&path));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(demonstrate())
}

/// The application: commits one row at a time, and says when each commit was done.
fn write(path: &Path) -> Result<()> {
    let database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
    )?;
    say("ready")?;
    stdin().lock().read_line(&mut String::new())?;
    for id in 1..=COMMITS {
        database.execute("INSERT INTO notes VALUES (?1, ?2)", (id, format!("note {id}")))?;
        say(&now_micros().to_string())?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn demonstrate() -> Result<()> {
    let directory = fresh_directory()?;
    let (database, replica) = (directory.join("app.db"), directory.join("replica"));
    say(&format!("everything is in {}\n", directory.display()))?;

    say(&format!("1. an application creates {}", database.display()))?;
    let (mut application, mut lines) = start_application(&database)?;
    lines.recv().await.ok_or("the application ended early")?;

    say(&format!("2. ebbtide follows it into {}", replica.display()))?;
    let location: Location = replica.to_str().ok_or("the path is not text")?.parse()?;
    let mut sidecar = Sidecar::new(Hooks::default());
    let followed =
        sidecar.add(Database::new(database.clone(), location.clone()), How::default())?;
    followed.following().await?;

    say(&format!("3. the application commits {COMMITS} rows"))?;
    writeln!(application.stdin.take().ok_or("no standard input")?, "go")?;
    let commits = watch_lag(followed.status(), &mut lines).await?;
    application.wait()?;
    for ended in sidecar.stop(Duration::from_secs(30)).await {
        ended.result?;
    }

    let at = COMMITS / 2;
    let (before, after) = (commits[at as usize - 1], commits[at as usize]);
    let moment = before + (after - before) / 2;
    let moment = Timestamp::from_micros(moment).ok_or("the clock is out of range")?;
    say(&format!("\n4. restoring to {moment}, between commits {at} and {}", at + 1))?;
    let restored = directory.join("restored.db");
    restore_to(&location, Target::Time(moment), &restored).await?;
    check_rows(&restored, at)?;
    say(&format!("   the rows are exactly those of that moment: 1 to {at}"))?;

    let newest = directory.join("newest.db");
    restore_to(&location, Target::Latest, &newest).await?;
    if std::fs::read(&newest)? != std::fs::read(&database)? {
        return Err("the newest state differs from the database".into());
    }
    say("   and the newest state is the database, byte for byte")?;

    say("\nlook around:")?;
    say(&format!("  cargo run --release -p ebbtide-cli -- log {}", replica.display()))?;
    say(&format!("  cargo run --release -p ebbtide-cli -- verify {}", replica.display()))?;
    say(&format!(
        "  cargo run --release -p ebbtide-cli -- restore -o /tmp/copy.db {}",
        replica.display()
    ))?;
    Ok(())
}

/// Receives the application's commits, and shows how long each took to be durable in the replica; the commits' times.
async fn watch_lag(
    status: &Status,
    lines: &mut mpsc::UnboundedReceiver<String>,
) -> Result<Vec<i64>> {
    let base = durable(status).ok_or("nothing is durable")?;
    let mut commits: Vec<i64> = Vec::new();
    let mut lags: Vec<i64> = Vec::new();
    let all = COMMITS as usize;
    while lags.len() < all {
        tokio::select! {
            line = lines.recv(), if commits.len() < all => {
                commits.push(line.ok_or("the application ended early")?.parse()?);
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        let now = now_micros();
        let count = durable(status).unwrap_or(base).saturating_sub(base);
        while lags.len() < usize::try_from(count)?.min(commits.len()) {
            lags.push(now - commits[lags.len()]);
            if lags.len().is_multiple_of(10) {
                let (last, written) = (lags[lags.len() - 1], commits.len());
                say(&format!(
                    "   {written} written, {} durable, the last after {:.1} ms",
                    lags.len(),
                    millis(last)
                ))?;
            }
        }
    }
    let mut sorted = lags;
    sorted.sort_unstable();
    let (median, most) = (millis(sorted[all / 2]), millis(sorted[all - 1]));
    say(&format!("   from commit to durable: median {median:.1} ms, at most {most:.1} ms"))?;
    Ok(commits)
}

async fn restore_to(location: &Location, target: Target, output: &Path) -> Result<()> {
    let now = Timestamp::from_micros(now_micros()).ok_or("the clock is out of range")?;
    let options = Options::new(target, output.to_path_buf(), now);
    let report = restore(location.open().await?, &options, &Arc::new(Progress::default())).await?;
    let point = report.outline.point;
    say(&format!(
        "   {} is txid {} of {}",
        options.output.display(),
        point.state.txid(),
        point.state.time()
    ))?;
    Ok(())
}

/// The table has the rows up to `last`, each with its own text, and nothing else.
fn check_rows(path: &Path, last: u32) -> Result<()> {
    let database = Connection::open(path)?;
    let mut query = database.prepare("SELECT id, text FROM notes ORDER BY id")?;
    let rows = query.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)))?;
    let rows: Vec<(u32, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let expected: Vec<_> = (1..=last).map(|id| (id, format!("note {id}"))).collect();
    if rows == expected { Ok(()) } else { Err(format!("the rows differ: {rows:?}").into()) }
}

fn start_application(database: &Path) -> Result<(Child, mpsc::UnboundedReceiver<String>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no standard output")?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok((child, receiver))
}

fn fresh_directory() -> Result<PathBuf> {
    let name = format!("ebbtide-quickstart-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory)?;
    Ok(directory)
}

fn durable(status: &Status) -> Option<u64> {
    Some(status.get().durable?.txid.get())
}

#[expect(clippy::disallowed_methods, reason = "an application dates its rows by the clock")]
fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn millis(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64() * 1000.0
}
