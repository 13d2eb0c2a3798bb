//! Databases that nobody here wrote: those in the directory that `EBBTIDE_TEST_REAL` names go through dump, fixture and
//! PostgreSQL, with every value compared. What is refused gets the word that the refusal offers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ebbtide_export::{
    BrokenKeys, DumpOptions, FindingKind, FixtureOptions, NulPolicy, PostgresOptions, dump,
    write_fixture, write_script,
};
use ebbtide_rows::Schema;
use rusqlite::{Connection, OpenFlags};

use crate::loads::{compare, options, planned};
use crate::server::server;
use crate::{body, shell};

/// The files there that are databases.
fn databases() -> Vec<PathBuf> {
    let Some(directory) = std::env::var_os("EBBTIDE_TEST_REAL") else {
        eprintln!("NOT RUN: real databases: EBBTIDE_TEST_REAL names no directory");
        return Vec::new();
    };
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_database = |path: &PathBuf| {
        path.is_file() && fs::read(path).unwrap().starts_with(b"SQLite format 3\0")
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_database).collect();
    paths.sort();
    paths
}

#[test]
fn real_databases_come_back_from_everywhere() {
    let paths = databases();
    if paths.is_empty() || !shell::is_there("real databases") {
        return;
    }
    for path in paths {
        let source = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (rows, made) =
            (through_the_shell(&source, directory.path()), fixtures(&source, directory.path()));
        let loaded = through_postgres(&source);
        eprintln!("{}: {rows} rows by dump, {made} bytes of fixture, {loaded}", path.display());
    }
}

fn through_the_shell(source: &Connection, directory: &Path) -> usize {
    let schema = Schema::read(source, "main").unwrap();
    let mut script = Vec::new();
    dump(source, &schema, DumpOptions::default(), &|| Ok(()), &mut script).unwrap();
    let path = directory.join("back.db");
    shell::read(&path, &script);
    let back = Connection::open(&path).unwrap();
    same_rows(source, &back)
}

fn same_rows(source: &Connection, other: &Connection) -> usize {
    let mut rows = 0;
    for table in body::ordinary(source) {
        let (ours, theirs) = (body::rows(source, &table), body::rows(other, &table));
        assert!(ours == theirs, "{table}");
        rows += ours.len();
    }
    rows
}

fn fixtures(source: &Connection, directory: &Path) -> usize {
    let schema = Schema::read(source, "main").unwrap();
    let make = |name: &str| {
        let path = directory.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        write_fixture(source, &schema, &FixtureOptions::default(), &file, &path).unwrap();
        same_rows(source, &Connection::open(&path).unwrap());
        fs::read(&path).unwrap()
    };
    let (first, second) = (make("1.db"), make("2.db"));
    assert!(first == second, "the same bytes twice");
    first.len()
}

fn through_postgres(source: &Connection) -> String {
    let Some(server) = server("real databases") else { return "no PostgreSQL".to_owned() };
    let mut options = options();
    for _ in 0..4 {
        let plan = planned(source, &options);
        if plan.report.is_refused() {
            obey(&mut options, &plan);
            continue;
        }
        let schema = Schema::read(source, "main").unwrap();
        let mut script = Vec::new();
        write_script(source, &schema, &plan, "", &|| Ok(()), &mut script).unwrap();
        let database = server.database();
        let ended = database.load(&script);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let values = compare(source, &database);
        return format!("{values} values by PostgreSQL with {} words", words(&options));
    }
    let lines: Vec<String> = planned(source, &options).report.lines().collect();
    panic!("refused whatever is said: {}", lines.join("\n"));
}

fn words(options: &PostgresOptions) -> usize {
    options.casts.len()
        + usize::from(options.nul != NulPolicy::Refuse)
        + usize::from(options.broken_keys != BrokenKeys::Refuse)
}

/// Says the words that refusals offer.
fn obey(options: &mut PostgresOptions, plan: &ebbtide_export::PostgresPlan) {
    for (about, finding) in
        plan.report.all().filter(|(_, finding)| finding.kind == FindingKind::Refused)
    {
        let word = finding.word.clone().unwrap_or_default();
        eprintln!("  {about}: {} [{word}]", finding.what);
        if let Some(cast) = word.strip_prefix("--cast '") {
            options.casts.push(cast.trim_end_matches('\'').parse().unwrap());
        } else if word.starts_with("--nul") {
            options.nul = NulPolicy::Bytea;
        } else if word.starts_with("--broken-keys") {
            options.broken_keys = BrokenKeys::LeaveOut;
        }
    }
}
