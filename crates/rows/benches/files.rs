//! Two files that differ in one row of a hundred, compared by us and by Debian's `sqldiff`.
//!
//! ```sh
//! cargo bench --workspace --bench files              # 100 MB each
//! cargo bench --workspace --bench files -- 1000      # 1 GB each
//! cargo bench --workspace --bench files -- A.db B.db  # these two, once, by us alone: for a profiler
//! ```
//!
//! Each is run three times after a first run that fills the page cache; the median counts.

use std::error::Error;
use std::io::{Write, sink};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide_rows::{Options, Pages, Script, Side, diff};
use rusqlite::{Connection, OpenFlags};

/// A row takes some 120 bytes.
const ROWS_PER_MEGABYTE: u64 = 8_300;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [old, new] = &args[..] {
        return ours(Path::new(old), Path::new(new));
    }
    let megabytes: u64 = args.first().map_or(Ok(100), |text| text.parse())?;
    let directory = tempfile::tempdir_in(".")?;
    let (old, new) = (directory.path().join("old.db"), directory.path().join("new.db"));
    write(&old, megabytes * ROWS_PER_MEGABYTE)?;
    std::fs::copy(&old, &new)?;
    let count = Connection::open(&new)?.execute(
        "UPDATE orders SET status = 'refunded', total = total + 1 WHERE id % 100 = 7",
        [],
    )?;
    println!("{count} rows differ; {} MB each", new.metadata()?.len() / 1_000_000);
    median("ebbtide", || ours(&old, &new))?;
    let shell = || {
        let mut sqldiff = Command::new("sqldiff");
        let status = sqldiff.arg(&old).arg(&new).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err("sqldiff failed".into()) }
    };
    if Command::new("sqldiff").arg("--help").stdout(Stdio::null()).status().is_err() {
        println!("no sqldiff here: it is in Debian's sqlite3-tools");
        return Ok(());
    }
    median("sqldiff", shell)
}

fn write(path: &Path, rows: u64) -> Result<(), Box<dyn Error>> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, status TEXT, total REAL, note TEXT)",
    )?;
    let sql = "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT ?1)
               INSERT INTO orders SELECT n, n * 7919 % 100003, 'paid', n * 0.01, hex(randomblob(42)) FROM n";
    connection.execute(sql, [rows.cast_signed()])?;
    Ok(())
}

fn ours(old: &Path, new: &Path) -> Result<(), Box<dyn Error>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |path| Connection::open_with_flags(path, flags);
    let files = (std::fs::File::open(old)?, std::fs::File::open(new)?);
    let (old, new) = (open(old)?, open(new)?);
    let read = (
        |at, bytes: &mut [u8]| files.0.read_at(bytes, at),
        |at, bytes: &mut [u8]| files.1.read_at(bytes, at),
    );
    let pages = |read| Some(Pages { page_bytes: 4096, reserved_bytes: 0, read });
    let mut script = Script::new(Box::new(sink()) as Box<dyn Write>);
    let old = Side { pages: pages(&read.0), ..Side::new(&old, "main") };
    let new = Side { pages: pages(&read.1), ..Side::new(&new, "main") };
    diff(old, new, &Options::default(), &mut script)?;
    Ok(())
}

fn median(
    name: &str,
    mut run: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        run()?;
        times.push(begun.elapsed());
    }
    times.sort();
    let seconds = |time: Duration| time.as_secs_f64();
    let [least, middle, most] = times[..] else { return Ok(()) };
    println!("{name}: {:.2} s ({:.2} to {:.2})", seconds(middle), seconds(least), seconds(most));
    Ok(())
}
