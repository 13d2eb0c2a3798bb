//! `ebbtide doctor`: what a start would trip over, looked at before there is one.
//!
//! Each check is what `replicate` does itself, as far as that makes and locks nothing: the configuration is read by the same
//! code, the files are looked at as a start does, the store is tried by its own probe.

mod database;
mod files;
mod finding;
mod holders;
mod machine;
mod replica;
mod replicators;
mod sqlite_version;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ebbtide_config::{Config, Database};
use ebbtide_sidecar::present;
use ebbtide_store::Location;

use self::finding::{Check, Finding, Subject};
use crate::args::Doctor;
use crate::exit::{Code, Failure, Outcome};
use crate::replicate::configuration_of;
use crate::source::{self, Source};
use crate::{descriptors, terminal};

/// So many stores are tried: those of a pattern are mostly prefixes of one bucket.
const STORES_MAX: usize = 16;

/// Runs the command.
///
/// # Errors
/// When something fails that a start needs, with exit code 1.
pub(crate) async fn run(args: Doctor) -> Result<Outcome, Failure> {
    let config = configuration(&args)?;
    let (databases, mut subjects) = databases(&config);
    // As `replicate` does at its start.
    descriptors::raise();
    let running = machine::running();
    subjects.push(machine::look(&config, databases.len(), &running).await);
    let shared = shared(&databases);
    for database in &databases {
        let mut findings = database::look(database, &running, args.database.is_none());
        findings.extend(machine::recipients(database));
        findings.extend(shared.get(&database.path).cloned().map(of_shared));
        subjects.push(Subject::new(database.path.display().to_string(), findings));
    }
    subjects.extend(stores(&databases).await);
    let failed: u64 = subjects.iter().map(|subject| subject.print(args.json)).sum();
    match failed {
        0 => Ok(Outcome::Done),
        failed => {
            let why = format!("{} failed", terminal::number_of(failed, "check"));
            Err(Failure::new(Code::Failed, why))
        }
    }
}

/// What is asked about: a configuration, or one database as if it were one.
fn configuration(args: &Doctor) -> Result<Config, Failure> {
    let Some(path) = &args.database else { return Ok(Config::read(&args.config)?) };
    let mut config = match &args.replica {
        Some(replica) => configuration_of(Database::new(path.clone(), source::address(replica)?)),
        None => known(path, &args.config)?,
    };
    for database in &mut config.databases {
        database.encrypt_to.extend(args.encrypt_to.recipients.iter().cloned());
        if let Some(file) = args.encrypt_to.recipients_files.first() {
            database.encrypt_to_file = Some(file.clone());
        }
    }
    Ok(config)
}

/// The database at this path as the configuration or its local state knows it.
fn known(path: &Path, file: &Path) -> Result<Config, Failure> {
    if file.exists() {
        let config = Config::read(file)?;
        let found = config.database(path).map_err(|why| Failure::new(Code::Usage, why))?;
        if let Some(database) = found {
            return Ok(Config { databases: vec![database], patterns: Vec::new(), ..config });
        }
    }
    let source = Source::beside_database(path, file)?;
    Ok(configuration_of(Database::new(path.to_owned(), source.location)))
}

/// All databases, those of patterns as they are there now, and what is to be said of the patterns themselves.
fn databases(config: &Config) -> (Vec<Database>, Vec<Subject>) {
    let mut all: BTreeMap<PathBuf, Database> = BTreeMap::new();
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut subjects = Vec::new();
    for pattern in &config.patterns {
        let there = present(pattern);
        let mut findings = Vec::new();
        let count = there.databases.len();
        for database in there.databases {
            match database {
                Ok(database) => drop(all.entry(absolute(&database.path)).or_insert(database)),
                Err(why) => findings.push(Finding::fail(
                    Check::Pattern,
                    why,
                    "give the file another name, or a [[database]] of its own",
                )),
            }
        }
        for (directory, error) in there.unreadable {
            let seen = format!("{} cannot be read: {error}", directory.display());
            findings.push(Finding::fail(
                Check::Pattern,
                seen,
                "let this user read it and enter it",
            ));
        }
        let seen = format!("it names {}", terminal::number_of(count as u64, "database"));
        findings.push(if count == 0 {
            Finding::warn(Check::Pattern, seen, "correct it, unless the first one is still to come")
        } else {
            Finding::ok(Check::Pattern, seen)
        });
        subjects.push(Subject::new(pattern.text().to_owned(), findings));
    }
    // What a database of its own says counts before a pattern.
    all.extend(config.databases.iter().map(|own| (absolute(&own.path), own.clone())));
    (all.into_values().collect(), subjects)
}

/// Databases whose replica is that of another one before it, each with that one.
fn shared(databases: &[Database]) -> BTreeMap<PathBuf, PathBuf> {
    let mut places: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for database in databases {
        let first = *places.entry(database.location.place()).or_insert(&database.path);
        if first != database.path {
            shared.insert(database.path.clone(), first.to_owned());
        }
    }
    shared
}

fn of_shared(other: PathBuf) -> Finding {
    let seen = format!("{} has the same replica, and it would not be followed", other.display());
    Finding::fail(Check::Replica, seen, "give each a place of its own, by {relative} for example")
}

/// Each place of a replica or a mirror once, with what there is of a replica.
async fn stores(databases: &[Database]) -> Vec<Subject> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut subjects = Vec::new();
    let mut left_out = 0_u64;
    for database in databases {
        let replica = (&database.location, true);
        let mirrors = database.mirrors.iter().map(|mirror| (mirror, false));
        for (location, is_first) in [replica].into_iter().chain(mirrors) {
            if seen.contains(&location.place()) {
                continue;
            }
            seen.push(location.place());
            if subjects.len() >= STORES_MAX {
                left_out += 1;
                continue;
            }
            subjects.push(one_store(location, is_first.then_some(database)).await);
        }
    }
    if left_out > 0 {
        let seen = format!("{} were not tried", terminal::number_of(left_out, "further place"));
        let note = Finding::note(Check::Open, seen, "name one of their databases to try its own");
        subjects.push(Subject::new("other stores".to_owned(), vec![note]));
    }
    subjects
}

async fn one_store(location: &Location, database: Option<&Database>) -> Subject {
    let (opened, mut findings) = store::look(location, database.is_none_or(|it| it.prunes)).await;
    if let (Some(store), Some(database)) = (opened, database) {
        findings.extend(replica::look(&store, database).await);
    }
    Subject::new(location.to_string(), findings)
}
