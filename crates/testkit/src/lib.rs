//! For tests only: SQLite workloads, an S3 server in this process, faulty stores.
//!
//! The words that are ours are in `docs/glossary.md`.

pub mod actor;
pub mod builder;
pub mod chronicle;
pub mod contract;
pub mod faulty;
pub mod forger;
pub mod horizons;
pub mod http_proxy;
pub mod keys;
pub mod minio;
pub mod oracle;
pub mod process;
pub mod proxy;
mod random;
pub mod raw_server;
pub mod s3_server;
pub mod search;
mod seeds;
pub mod sparse;
pub mod tls;
pub mod workload;
pub mod wrapped;
pub mod writer;
pub mod zeroed_frame;

pub use random::Random;
pub use seeds::{for_each_at_once, for_each_seed, for_each_seed_at_once};
