//! Situations from public reports about other tools: backup, replication, log shipping, sidecars, containers. Each was
//! tried here as its reporter met it; docs/testing.md has a row for each, with the address of the report.
//!
//! Would catch what users of such tools run into on ordinary days and report years later.

mod applications;
mod containers;
mod databases;
mod environment;
mod failover;
mod files;
mod names;
mod store;

use std::ffi::OsStr;
use std::process::Command;

use ebbtide_catalog::Target;

use crate::support::{Setup, rows};

/// How many rows the newest state has that can be restored.
fn rows_restored(setup: &Setup) -> u32 {
    let copy = setup.path("rows.db");
    setup.history().restore_into(Target::Latest, &copy);
    let found = rows(&copy);
    std::fs::remove_file(&copy).unwrap();
    found
}

/// Says that a test has not run for want of a program. Those that need one are few, and each stands in docs/testing.md.
fn has(program: &str, test: &str) -> bool {
    let found = Command::new(program).arg("-version").output().is_ok();
    if !found {
        eprintln!("NOT RUN: {test}: there is no {program} here");
    }
    found
}

/// The shell runs `script`, in which `$0` is the `ebbtide` of these tests and `$1` and so on are `args`.
fn shell(setup: &Setup, script: &str, args: &[&OsStr]) -> Command {
    with_program(setup, "sh", &["-c", script], args)
}

/// The same in a mount namespace of its own, in which it is root.
fn in_namespace(setup: &Setup, script: &str, args: &[&OsStr]) -> Command {
    let options = ["--user", "--map-root-user", "--mount", "sh", "-c", script];
    with_program(setup, "unshare", &options, args)
}

/// Whether there can be such a namespace. Says so if not.
fn may_mount(test: &str) -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["--user", "--map-root-user", "--mount", "true"]);
    let may = tried.status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("NOT RUN: {test}: nothing can be mounted here");
    }
    may
}

/// `program` runs with its `options`, with `ebbtide` and `args` behind them and the environment of a test.
fn with_program(setup: &Setup, program: &str, options: &[&str], args: &[&OsStr]) -> Command {
    let ebbtide = setup.command(&[]);
    let mut outer = Command::new(program);
    outer.args(options).arg(ebbtide.get_program()).args(args);
    for (name, value) in ebbtide.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
