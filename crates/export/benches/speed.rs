//! How fast a database is taken elsewhere, and in how much memory.
//!
//! `cargo bench --workspace --bench speed -- 1000` makes a database of some 1,000 MB in the directory for temporary files
//! and writes it as each form into nothing. With a path instead of a number, that database is taken.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use ebbtide_export::{
    BrokenKeys, CsvOptions, DumpOptions, ExportError, NulPolicy, PostgresOptions, dump, plan,
    write_csv, write_json, write_script,
};
use ebbtide_rows::Schema;
use rusqlite::Connection;

/// Counts, and forgets.
#[derive(Default)]
struct Nothing(u64);

impl Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let wanted = wanted.unwrap_or_else(|| "10".to_owned());
    let directory = tempfile::tempdir()?;
    let path = match wanted.parse::<u64>() {
        Ok(megabytes) => make(&directory.path().join("bench.db"), megabytes)?,
        Err(_) => PathBuf::from(&wanted),
    };
    let megabytes = path.metadata()?.len() / 1_000_000;
    let connection = Connection::open(&path)?;
    let schema = Schema::read(&connection, "main")?;
    let options = PostgresOptions {
        tables: Vec::new(),
        casts: Vec::new(),
        nul: NulPolicy::Refuse,
        broken_keys: BrokenKeys::Refuse,
    };
    measure("postgres", megabytes, |out| {
        let plan = plan(&connection, &schema, &options)?;
        assert!(!plan.report.is_refused(), "{:?}", plan.report.lines().collect::<Vec<_>>());
        write_script(&connection, &schema, &plan, "", &|| Ok(()), out)
    })?;
    measure("dump", megabytes, |out| {
        dump(&connection, &schema, DumpOptions::default(), &|| Ok(()), out).map(drop)
    })?;
    let tables: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    let csv = CsvOptions { null: String::new(), nul: NulPolicy::Refuse };
    measure("csv", megabytes, |out| {
        tables
            .iter()
            .try_for_each(|table| write_csv(&connection, "main", table, &csv, out).map(drop))
    })?;
    measure("json", megabytes, |out| {
        tables.iter().try_for_each(|table| write_json(&connection, "main", table, out).map(drop))
    })?;
    Ok(())
}

fn measure(
    name: &str,
    megabytes: u64,
    work: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let begun = Instant::now();
    let mut out = Nothing::default();
    work(&mut out)?;
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "it is a figure for people")]
    let speed = megabytes as f64 / seconds;
    println!(
        "{name}: {seconds:.1} s, {speed:.0} MB/s of {megabytes} MB, {} MB written, {}",
        out.0 / 1_000_000,
        memory()
    );
    Ok(())
}

/// The most memory that the process has had.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("memory unknown").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Orders with lines, notes and a blob now and then: about 170 bytes a row.
fn make(path: &std::path::Path, megabytes: u64) -> rusqlite::Result<PathBuf> {
    let connection = Connection::open(path)?;
    let rows = megabytes * 5000;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = 0; PRAGMA cache_size = -16000;
         CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, since DATE);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT NOT NULL REFERENCES customer, created DATETIME, total DECIMAL(10,2),
             paid BOOLEAN, ref UUID, note TEXT, doc JSON, data BLOB);
         BEGIN;
         WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 1000)
         INSERT INTO customer SELECT n, 'customer number ' || n, '2026-11-21' FROM n;
         WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT {rows})
         INSERT INTO orders SELECT n, n % 1000 + 1, datetime(1700000000 + n, 'unixepoch'), n % 100000 / 100.0, n % 2,
             printf('%08x-7c1e-7cc8-9d0a-2f9b5f0c1a11', n), 'a note of some length about order number ' || n,
             '{{\"lines\": [1, 2, ' || n || '], \"gift\": false}}', CASE WHEN n % 10 = 0 THEN randomblob(100) END FROM n;
         COMMIT;"
    ))?;
    Ok(path.to_path_buf())
}
