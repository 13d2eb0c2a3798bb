//! What a running process shows of itself over HTTP. Would catch a metric that nobody told of or that means something
//! else, a health that lies, and an answer for somebody who should have none.

mod browser;
mod canary;
mod client;
mod exposition;
mod guarded;
mod metrics;
mod notices;
mod page;
mod prometheus;
mod reloaded;

use serde_json::Value;

use crate::support::{PATIENCE, Setup, Sidecar};

pub(crate) use client::Client;
pub(crate) use exposition::Samples;
pub(crate) use metrics::{documented, is_silent, kinds};

/// A process that shows itself at a port of its own.
struct Shown {
    sidecar: Sidecar,
    client: Client,
}

impl Shown {
    /// Follows the database of a setup.
    fn follow(setup: &Setup) -> Shown {
        let mut command = setup.replicate();
        let shown = Shown::spawn(command.args(["--listen", "127.0.0.1:0"]));
        shown.sidecar.wait_until_it_follows();
        shown
    }

    /// Starts a command that listens.
    fn spawn(command: &mut std::process::Command) -> Shown {
        let sidecar = Sidecar::spawn_command(command);
        let line = sidecar.process().line_with("\"showing metrics and health\"", PATIENCE);
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["fields"]["address"].as_str().unwrap_or_else(|| panic!("{line}"));
        let client = Client::new(address);
        Shown { sidecar, client }
    }

    /// The metrics of now.
    fn metrics(&self) -> Samples {
        Samples::parse(&self.client.get("/metrics").ok())
    }
}
