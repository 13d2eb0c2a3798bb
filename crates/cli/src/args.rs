//! The command line.

mod access;
mod asking;
mod between;
mod completions;
mod config;
mod cost;
mod demo;
mod diff;
mod doctor;
mod drill;
mod dump;
mod export;
mod fixture;
mod keys;
mod log;
mod logging;
mod man;
mod mark;
mod page;
mod read;
mod set;
mod sql;
mod status;
mod undo;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use ebbtide_catalog::Anchor;
use ebbtide_retention::Keep;

pub use access::{Access, Identity};
pub use asking::{Asking, Blame, Search};
pub use between::Between;
pub use completions::Completions;
pub use config::{Config, ConfigCheck, ConfigShow, ConfigVerb};
pub use cost::Cost;
pub use demo::Demo;
pub use diff::{Diff, DiffFormat, PairBy};
pub use doctor::Doctor;
pub use drill::Drill;
pub use dump::Dump;
pub use export::{Broken, Export, ExportFormat, Nul};
pub use fixture::Fixture;
pub use keys::{CopyForm, EncryptTo, Key, KeyCheck, KeyCommand, Keygen, Rewrap, Unlock};
pub use log::Log;
pub use logging::{LogFormat, Logging};
pub use man::Man;
pub use mark::{Mark, Marks, Unmark};
pub use page::Page;
pub use read::Read;
pub use set::{Add, List, Reload, Remove};
pub use sql::{NamedState, Sql};
pub use status::Status;
pub use undo::Undo;
pub use verify::Verify;

use crate::number::Number;
use crate::when::When;

/// Continuous backup and time travel for SQLite.
#[derive(Debug, Parser)]
#[command(name = "ebbtide", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to log.
    #[command(flatten)]
    pub log: Logging,
}

const EXAMPLES: &str = "\
Examples:
  ebbtide replicate app.db ./backup                     follow a database into a directory
  ebbtide replicate app.db 's3://bucket/app?region=eu-central-1'
  ebbtide log ./backup                                  what can be restored
  ebbtide when ./backup 'SELECT count(*) FROM orders'    at which transactions that changed
  ebbtide copy ./backup s3://elsewhere/app              a second replica
  ebbtide prune --keep every-commit=7d,daily=1y ./backup   what that policy would delete
  ebbtide restore -o copy.db --timestamp '5m ago' ./backup
  ebbtide diff old.db new.db                            which rows differ
  ebbtide sql --at '5m ago' ./backup 'SELECT …'         ask the past, without a restore
  ebbtide export --format postgres app.db | psql -1 -v ON_ERROR_STOP=1 postgres://localhost/app
  ebbtide mark before-migration app.db                  a restore point with a name
  ebbtide status                                        what is durable, how far behind, what is wrong
  ebbtide sync --wait app.db                            return once everything committed is durable

Exit codes: 0 done; 1 failed; 2 wrong use; 3 nothing to restore; 4 damaged or unprovable; 5 another writer owns the replica; \
6 not done, or not all, because of conflicts, differences or losses that were not allowed.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow databases and ship every commit.
    Replicate(Replicate),
    /// Rebuild a database as it was after any commit.
    Restore(Restore),
    /// Ask the past: SQL over any states of the history, without a restore.
    Sql(Sql),
    /// Show what can be restored: entries, snapshots, gaps.
    Log(Log),
    /// Find the transactions at which the answer to a query changed.
    When(Asking),
    /// Show what became of one row, transaction by transaction.
    Blame(Blame),
    /// Prove every object of a replica.
    Verify(Verify),
    /// Copy a replica to another place: a second one, or another provider.
    Copy(Copy),
    /// Compare the rows of two databases.
    Diff(Diff),
    /// Take back what changed between two states, in a database that has gone on since.
    Undo(Undo),
    /// Print SQL that makes the database again.
    Dump(Dump),
    /// Take tables elsewhere: CSV, JSON, SQL, PostgreSQL.
    Export(Export),
    /// Make a small database for tests.
    Fixture(Fixture),
    /// Give a state a name, and keep it whatever the policy says.
    Mark(Mark),
    /// Show the marks of a replica.
    Marks(Marks),
    /// Remove a mark.
    Unmark(Unmark),
    /// Delete the history that is not kept; without --confirm, only show what would go, and why.
    Prune(Prune),
    /// Restore and check the newest state and an older one, and keep neither.
    Drill(Drill),
    /// Show a replica in a browser: everything that can be restored, and the commands for it.
    Page(Page),
    /// Show how the databases of a running `replicate` are doing.
    Status(Status),
    /// Ship what is committed now, without waiting for the next put that is due.
    Sync(Sync),
    /// Have a running `replicate` follow another database.
    Add(Add),
    /// Have it follow a database no more, after a last sync.
    Remove(Remove),
    /// Show what is followed, and why: by the configuration, a pattern, or `add`.
    List(List),
    /// Have it read its configuration again.
    Reload(Reload),
    /// Check a configuration, or show what it says.
    Config(Config),
    /// Show what a month costs: what is stored, what may be put, what was measured.
    Cost(Cost),
    /// Look at everything that a start would trip over, before there is one.
    Doctor(Doctor),
    /// Make an identity, which opens what is encrypted for its recipient.
    Keygen(Keygen),
    /// Prove that an identity opens the keys of an encrypted replica.
    Key(Key),
    /// Wrap the keys of an encrypted replica for other recipients.
    Rewrap(Rewrap),
    /// Put the index key of an encrypted replica back where `replicate` needs it.
    Unlock(Unlock),
    /// Show an accident and the way back, with nothing to set up.
    Demo(Demo),
    /// Print the completions for a shell.
    Completions(Completions),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man(Man),
}

/// `ebbtide replicate`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide replicate app.db ./backup                        one database into a directory
  ebbtide replicate --config ebbtide.toml                  all databases of a configuration
  ebbtide replicate --exec './server' app.db s3://bucket/app
  ebbtide replicate --restore-if-missing --exec './server' app.db s3://bucket/app
  ebbtide replicate --once app.db ./backup                 bring the replica up to date and end

SIGTERM, SIGINT and SIGQUIT end with a last sync, and so does the end of the terminal; the exit code is 0 only if it was \
confirmed. SIGHUP has the configuration read again, as `ebbtide reload` does. SIGHUP, SIGUSR1 and SIGUSR2 are passed on to \
an application that handles them.")]
pub struct Replicate {
    /// The database to follow. Without it, those of the configuration.
    #[arg(requires = "replica", value_name = "DB")]
    pub database: Option<PathBuf>,
    /// Where its replica lies: s3://BUCKET/PREFIX?endpoint=URL, file:///PATH or a path.
    #[arg(value_name = "REPLICA")]
    pub replica: Option<String>,
    /// The configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "database", default_value = "ebbtide.toml")]
    pub config: PathBuf,
    /// Run the application as a child (by the shell), pass signals on to it, and end when the last of its processes
    /// has ended, with the exit code of the first.
    #[arg(long, value_name = "CMD")]
    pub exec: Option<String>,
    /// Withhold the environment variables that lead to the store's credentials from the application.
    #[arg(long, requires = "exec")]
    pub exec_without_credentials: bool,
    /// End as soon as everything that is committed now is durable.
    #[arg(long, conflicts_with = "exec")]
    pub once: bool,
    /// Wait for a database that is not there yet, as is done with --exec and for those of a configuration.
    #[arg(long, conflicts_with = "once")]
    pub wait: bool,
    /// Restore a database that is not there from its replica, if there is one, before it is followed and before CMD begins.
    #[arg(long)]
    pub restore_if_missing: bool,
    /// Switch a database in rollback-journal mode to a write-ahead log.
    #[arg(long)]
    pub enable_wal: bool,
    /// Show metrics and health over HTTP: 127.0.0.1:9094, or unix:/PATH. Instead of what the configuration says.
    #[arg(long, value_name = "ADDR", conflicts_with = "once")]
    pub listen: Option<String>,
    /// The file, readable by its owner alone, with the token that whoever asks must show. Needed for any other address
    /// than one of this machine alone.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub listen_token_file: Option<PathBuf>,
    /// Follow a database into a replica although it is not shown to be its own.
    #[arg(long)]
    pub adopt: bool,
    /// Take a replica back that another process has continued; what it wrote stays there as a fork.
    #[arg(long)]
    pub take_back: bool,
    /// Begin a new replica where the one that is known to have been there is gone.
    #[arg(long)]
    pub begin_anew: bool,
    /// For whom the replica is encrypted; without it, and without `encrypt-to` in the configuration, it is not.
    #[command(flatten)]
    pub encrypt_to: EncryptTo,
}

/// `ebbtide restore`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide restore -o copy.db ./backup                      the newest state
  ebbtide restore -o copy.db --timestamp '2026-11-21T09:30:00Z' s3://bucket/app
  ebbtide restore -o copy.db --timestamp '5m ago' ./backup the last commit at or before that time
  ebbtide restore -o copy.db --timestamp 'yesterday 14:00' ./backup
  ebbtide restore -o copy.db --txid 2a ./backup            the state after one transaction
  ebbtide restore -o copy.db --mark before-migration ./backup
  ebbtide restore -o copy.db ./backup s3://elsewhere/app   from two replicas, each of which may lack something
  ebbtide restore app.db                                   a database of ebbtide.toml, at its own place")]
pub struct Restore {
    /// The replica (s3://…, file:///…, a directory), or the path of a database of the configuration. With more replicas of
    /// the same database, each object comes from the first that has it whole.
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<String>,
    /// The database file to write.
    #[arg(short, long, value_name = "OUT", value_parser = PathBufValueParser::new().try_map(a_file))]
    pub output: Option<PathBuf>,
    /// The state after the last commit at or before this time: RFC 3339, "2026-11-21 09:30" or "yesterday 14:00" in the
    /// local zone, "now", "5m ago"; also txid:N, or before:N for the state right before an entry.
    #[arg(long, value_name = "WHEN", conflicts_with = "txid")]
    pub timestamp: Option<When>,
    /// The state after this transaction, by the hexadecimal number that `ebbtide log` prints.
    #[arg(long, value_name = "N")]
    pub txid: Option<Number>,
    /// Where the policy no longer keeps that state, take the nearest one on this side of it.
    #[arg(long, value_enum, value_name = "SIDE", conflicts_with = "mark")]
    pub nearest: Option<Side>,
    /// The state that is marked so; where two marks have one name, its id, as `ebbtide marks` prints it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["timestamp", "txid"])]
    pub mark: Option<String>,
    /// Move an existing database at OUT aside.
    #[arg(long)]
    pub force: bool,
    /// Leave the local state beside OUT with which `ebbtide replicate OUT` carries on from here. Where OUT is followed
    /// already, or is the database of SOURCE, it is left in any case.
    #[arg(long)]
    pub follow: bool,
    /// Do nothing, successfully, if OUT exists.
    #[arg(long)]
    pub if_not_exists: bool,
    /// Do nothing, successfully, if there is no replica.
    #[arg(long)]
    pub if_replica_exists: bool,
    /// The chain that the history must have, as `ebbtide status --json` shows it (durable_chain), with @TXID the one after
    /// that entry. Finds a history that was rewritten as a whole.
    #[arg(long, value_name = "HEX[@TXID]")]
    pub expect_chain: Option<Anchor>,
    /// Fetch no more than so many bytes a second, such as "5 MiB".
    #[arg(long, value_name = "SIZE", value_parser = ebbtide_config::size)]
    pub bandwidth: Option<u64>,
    /// Check the restored database with SQLite besides, before it appears at OUT. Its bytes are proved in any case.
    #[arg(long, value_enum, default_value_t = Integrity::None, value_name = "CHECK")]
    pub verify: Integrity,
    /// Only say what would be restored, and from what.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

impl Restore {
    /// The replica that stands for the others.
    #[must_use]
    pub fn source(&self) -> &str {
        self.sources.first().map_or("", String::as_str)
    }
}

/// A side of a state in its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Earlier.
    Before,
    /// Later.
    After,
}

/// SQLite's own checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Integrity {
    /// None.
    None,
    /// `PRAGMA quick_check`.
    Quick,
    /// `PRAGMA integrity_check`.
    Full,
}

/// `ebbtide copy`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide copy ./backup s3://elsewhere/app                 a second replica; again, and it has what was added since
  ebbtide copy --bandwidth '5 MiB' s3://old/app s3://new/app?endpoint=https://…
  ebbtide copy --since '7d ago' ./backup /mnt/disk/week    the last seven days, and the state before them
  ebbtide copy --verify app.db /mnt/disk/backup            the replica of a database of ebbtide.toml, and prove the copy
  ebbtide copy --encrypt-to-file recipients.txt app.db s3://bucket/sealed   encrypted on its way
  ebbtide copy --decrypt --identity owner.txt s3://bucket/sealed ./plain    and back

An interrupted copy is a replica that ends earlier, and the next one goes on there. To move a database to the new place, end \
`replicate`, copy once more, and start it with the new address.

A copy that is encrypted or decrypted has the same entries and the same states, and every copy into it afterwards is asked for \
in the same way. To go on with an encrypted one, name an identity that opens it, or as the source the database, whose local \
state keeps the copy's index key.

Exit codes: 0 copied; 2 the source has that form already, or there is no identity; 3 there is no replica; 4 an object is \
damaged, or the target has another one of its name; 5 the target has another replica, or this one in another form.")]
pub struct Copy {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where the copy lies: s3://BUCKET/PREFIX?endpoint=URL, file:///PATH or a path.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Only what is needed for every state from this one on; what comes before it is left out.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<When>,
    /// The most that is copied in a second, such as "500 kB" or "5 MiB".
    #[arg(long, value_name = "SIZE", value_parser = ebbtide_config::size)]
    pub bandwidth: Option<u64>,
    /// Prove the copy afterwards, as `ebbtide verify TARGET` does.
    #[arg(long)]
    pub verify: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// In which form it is written.
    #[command(flatten)]
    pub form: CopyForm,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide prune`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide prune app.db                                     what the policy of ebbtide.toml would delete, when and why
  ebbtide prune --keep every-commit=7d,hourly=30d,daily=1y,last=3 s3://bucket/app
  ebbtide prune --confirm app.db                           do it: what nothing needs is condemned now and deleted a day later
  ebbtide prune --undo app.db                              take the last condemning back, within 13 hours

What is kept: every-commit, hourly, daily, weekly, monthly and yearly, each for a time (12h, 7d, 4w, 1y, forever), the newest \
full snapshots (last=3), marks, and always the newest state. Ages are by the store's clock.

`replicate` does this once a day by itself, unless `prune = \"elsewhere\"` is configured.

Exit codes: 0 done, or shown; 2 it has to be confirmed; 3 there is nothing, or nothing to take back; 4 something that is to be \
kept is missing or damaged, and nothing was deleted.")]
pub struct Prune {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Which history is kept. Without it, what the configuration says of the database, and else all of it.
    #[arg(long, value_name = "POLICY")]
    pub keep: Option<Keep>,
    /// Do it.
    #[arg(long)]
    pub confirm: bool,
    /// Do it even if most of what was kept by now goes.
    #[arg(long, requires = "confirm")]
    pub confirm_shrink: bool,
    /// Take back what was condemned last.
    #[arg(long, conflicts_with_all = ["confirm", "keep"])]
    pub undo: bool,
    /// Print the result as JSON, with every state and every object.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide sync`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide sync                                             all databases that are followed
  ebbtide sync --wait app.db && shut-down-the-machine

Exit codes: 0 when the databases were told to ship, or with --wait when everything that was committed at the time of the \
request is durable; 1 when not, or when nobody follows them.")]
pub struct Sync {
    /// The database. Without it, all that are followed.
    #[arg(value_name = "DB")]
    pub database: Option<PathBuf>,
    /// Return only once everything that is committed now is durable.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait for that, such as "500ms" or "2m".
    #[arg(long, requires = "wait", default_value = "30s", value_name = "DURATION", value_parser = ebbtide_config::duration)]
    pub timeout: Duration,
}

/// Other tools take `-` for standard output, where a database cannot be written: its pages come in no order.
fn a_file(path: PathBuf) -> Result<PathBuf, &'static str> {
    if path == Path::new("-") {
        return Err("a database cannot be restored to standard output; a file of that name is ./-");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
