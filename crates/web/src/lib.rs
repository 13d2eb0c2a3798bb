//! What a process shows of itself over HTTP, metrics and whether it is alive and well, and what it tells others by itself.
//!
//! It looks at the [`View`](ebbtide_sidecar::View) of a sidecar whenever somebody asks, and changes nothing. Who asks may
//! be slow, silent, many, or a page of another site in a browser on this machine: nothing here waits for them, and what
//! one takes is bounded.
//!
//! The words that are ours are in `docs/glossary.md`.

mod address;
mod connections;
mod cost;
mod error;
mod fleet;
mod guard;
mod health;
mod listener;
mod metrics;
mod notices;
mod page;
mod routes;
mod server;
mod shelf;
mod site;
mod timeline;
mod token;

pub use error::Error;
pub use fleet::{LookAtFleet, ShownFleet};
pub use metrics::{DrilledReplica, FleetDrills, ProvedReplica};
pub use notices::Notices;
pub use server::{Answers, Server};
pub use site::{Elsewhere, ShownReplica};
