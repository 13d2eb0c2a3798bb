//! A sidecar that dies, or waits, where it is told to.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use ebbtide_fault::{DIED, PASSED, WAITS};
use ebbtide_replica::Txid;
use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::Signal;

use crate::deltas::Times;
use crate::scene::Scene;
use crate::support::PATIENCE;

/// A running `ebbtide replicate` with an order for its failpoints.
pub(crate) struct Armed {
    process: Process,
    said: Vec<String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// At the place, as it was told.
    Died,
    /// Because it was asked to, with everything durable.
    Stopped,
}

impl Armed {
    pub(crate) fn start(scene: &Scene, orders: &str) -> Armed {
        // Short logs are long enough for everything that is done about long ones.
        let config = scene.configure("", "checkpoint-frames = 50");
        Armed::run(
            &mut scene.command(&["replicate", "--log-format", "json", "--config", &config]),
            orders,
        )
    }

    /// The same with a put for each commit, and hours of so many milliseconds.
    pub(crate) fn start_with_hours(scene: &Scene, orders: &str, millis: u32) -> Armed {
        let config = scene.configure("", "checkpoint-frames = 50\nputs-per-second = 1000.0");
        let args = ["replicate", "--log-format", "json", "--config", &config];
        Armed::run(Times::hours(millis).of(&mut scene.command(&args)), orders)
    }

    /// Any command with an order for its failpoints.
    pub(crate) fn run(command: &mut Command, orders: &str) -> Armed {
        command.env("FAILPOINTS", orders);
        let process = Process::start(command, Output::Stderr).unwrap();
        Armed { process, said: Vec::new() }
    }

    /// Waits until it follows the database; the last entry then, or nothing if it died before.
    pub(crate) fn follows(&mut self) -> Option<Txid> {
        while let Some(line) = self.process.line(PATIENCE) {
            self.said.push(line);
            let line = self.said.last()?;
            if line.contains("\"following\"") {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                return Some(line["fields"]["txid"].as_str().unwrap().parse().unwrap());
            }
        }
        None
    }

    /// Waits until it waits at the place.
    pub(crate) fn waits(&mut self) {
        let line = self.process.line_with(WAITS, PATIENCE);
        self.said.push(line);
    }

    /// Has it go on from there.
    pub(crate) fn go_on(&mut self) {
        self.process.tell("").unwrap();
    }

    pub(crate) fn is_dead(&mut self) -> bool {
        self.process.ended().unwrap().is_some()
    }

    /// Whether it has the database's log open.
    pub(crate) fn has_log_open(&self, scene: &Scene) -> bool {
        let log = scene.database.with_extension("db-wal");
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        files.is_ok_and(|files| {
            let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
            links.into_iter().any(|link| link == log)
        })
    }

    /// Asks it to end; its exit code.
    pub(crate) fn end_with_code(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGTERM).unwrap();
        self.process.wait(PATIENCE).unwrap().code()
    }

    /// Asks it to end, unless it is dead already.
    pub(crate) fn end(mut self) -> (End, BTreeMap<String, u64>) {
        if !self.is_dead() {
            self.process.signal(Signal::SIGTERM).unwrap();
        }
        let status = self.process.wait(PATIENCE).unwrap();
        while let Some(line) = self.process.line(PATIENCE) {
            self.said.push(line);
        }
        let died = self.said.iter().any(|line| line.starts_with(DIED));
        let end = match (died, status.signal(), status.code()) {
            (true, Some(signal), _) if signal == Signal::SIGABRT as i32 => End::Died,
            (false, _, Some(0)) => End::Stopped,
            _ => panic!("{status}:\n{}", self.said.join("\n")),
        };
        let mut passed = BTreeMap::new();
        for name in self.said.iter().filter_map(|line| line.strip_prefix(PASSED)) {
            *passed.entry(name.trim().to_owned()).or_default() += 1;
        }
        (end, passed)
    }
}
