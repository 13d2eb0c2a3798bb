//! The random application by itself, to watch or to measure what runs beside it:
//!
//! ```sh
//! cargo run --release -p ebbtide-testkit --example workload -- app.db 17 1000 200 page_size=1024 cache_pages=10
//! ```
//!
//! The database, the seed, how many commits, how many a second (0: as many as it can), and what differs from SQLite's
//! defaults. It prints the number, the time in microseconds and the count of rows of each commit.

use std::env;
use std::error::Error;
use std::io;

use ebbtide_testkit::writer::{Task, run};

const USAGE: &str = "workload DATABASE SEED COMMITS PER-SECOND [NAME=VALUE…]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, seed, commits_max, rate, options @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let rate: u32 = rate.parse()?;
    let task = Task {
        path: path.into(),
        seed: seed.parse()?,
        options: options.join(" ").parse()?,
        commits_max: commits_max.parse()?,
        commits_per_second: (rate > 0).then_some(rate),
        images: false,
    };
    run(&task, &mut io::stdout().lock())
}
