//! Tests of the whole: the `ebbtide` binary against real databases and stores, and the tree against its own rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod applications;
mod bystander;
mod commands;
mod configuration;
mod control;
mod crash;
mod downtime;
mod exact;
mod exec;
mod first;
mod foreground;
mod forged;
mod freed;
mod guides;
mod hazards;
mod images;
mod junk;
mod kill;
mod limits;
mod model;
mod network;
mod outage;
mod output;
mod ownership;
mod panic;
mod persist;
mod planted;
mod presence;
mod recover;
mod reports;
mod rest;
mod root;
mod rot;
mod runs;
mod s3;
mod scene;
mod support;
mod surroundings;
mod syscalls;
mod tally;
mod terminal;
mod tidy;
mod torn;
mod trial;
