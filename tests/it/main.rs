//! Tests of the whole: the `ebbtide` binary against real databases and stores, and the tree against its own rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod applications;
mod bystander;
mod commands;
mod configuration;
mod control;
mod copy;
mod crash;
mod deltas;
mod diff;
mod downtime;
mod drill;
mod elsewhere;
mod exact;
mod exec;
mod first;
mod foreground;
mod forged;
mod freed;
mod guides;
mod hazards;
mod images;
mod interrupted;
mod junk;
mod kill;
mod limits;
mod marks;
mod mirror;
mod model;
mod network;
mod outage;
mod output;
mod ownership;
mod panic;
mod persist;
mod planted;
#[expect(dead_code, reason = "the tests of the crate use all of it")]
#[path = "../../crates/export/tests/export/server.rs"]
mod postgres;
mod presence;
mod prompt;
mod prune;
mod reader;
mod recover;
mod reports;
mod rest;
mod root;
mod rot;
mod runs;
mod s3;
mod scene;
mod sources;
mod spoiled;
mod sql;
mod support;
mod surroundings;
mod syscalls;
mod tally;
mod terminal;
mod thinned;
mod tidy;
mod torn;
mod traced;
mod trial;
mod watching;
