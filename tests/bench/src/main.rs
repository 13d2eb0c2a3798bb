//! Measures ebbtide and Litestream side by side: the same works, the same machine, the same MinIO, in one run.
//!
//! `docs/performance.md` says how to run it. Every restore is compared with the application's database before a number
//! is printed.

mod check;
mod loops;
mod minio;
mod past;
mod plot;
mod process;
mod proxy;
mod results;
mod rig;
mod stats;
mod tool;
mod works;
mod writer;
mod year;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::results::Results;
use crate::rig::Rig;
use crate::tool::Tool;
use crate::works::{WORKS, Work};

/// What may go wrong: anything, and then the run ends.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
#[command(about, version)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Only this work; may be given several times.
    #[arg(long = "work", value_name = "NAME")]
    works: Vec<String>,
    /// Only this tool: ebbtide, litestream-0.3.13 or litestream-0.5.18; may be given several times.
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// Shorter works, once: for a quick look, not for figures to tell.
    #[arg(long)]
    quick: bool,
    /// How often each work is done.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Where minio and the peers are; see docs/performance.md for how to get them.
    #[arg(long, env = "EBBTIDE_BENCH_TOOLS", default_value = "target/bench-tools")]
    bin: PathBuf,
    /// The ebbtide to measure. Default: the one beside this program.
    #[arg(long)]
    ebbtide: Option<PathBuf>,
    /// Where databases and buckets go while they are needed: a real disk, not a memory file system.
    #[arg(long, default_value = "target/bench")]
    scratch: PathBuf,
    /// Also write everything that was measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Say what the works are, and do nothing.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The application. The measurements start it by themselves.
    #[command(hide = true)]
    Write(writer::Args),
    /// The loops that bytes go through, each beside its limit.
    Loops,
    /// A year of history under clocks of its own, beside what the study expects; needs no MinIO.
    Year(year::Args),
    /// Draws what --json has written.
    Plot {
        /// The files.
        results: Vec<PathBuf>,
        /// The directory for the drawings.
        #[arg(long, default_value = "docs/performance")]
        into: PathBuf,
    },
    /// Only a slow store: the proxy in front of a server, until it is stopped.
    Slow {
        /// The server.
        server: std::net::SocketAddr,
        /// What each request takes longer.
        millis: u64,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ebbtide-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    match args.role {
        Some(Role::Write(task)) => return writer::run(&task),
        Some(Role::Plot { results, into }) => return plot::run(&results, &into),
        Some(Role::Year(args)) => return year::run(&args),
        Some(Role::Loops) => return loops::run(),
        Some(Role::Slow { server, millis }) => return proxy::serve(server, millis),
        None => {}
    }
    if args.list {
        for work in WORKS {
            println!("{:10} {}", work.name, work.about);
        }
        return Ok(());
    }
    let works = chosen(&args.works)?;
    let tools = Tool::find(&args.tools, &args.bin, args.ebbtide)?;
    let repeat = if args.quick { 1 } else { args.repeat.max(1) };
    let rig = Rig::new(&args.scratch, &args.bin, args.quick, repeat)?;
    let mut results = Results::new(&tools)?;
    for work in works {
        eprintln!("== {}: {}", work.name, work.about);
        (work.run)(&rig, &tools, &mut results)
            .map_err(|error| format!("work {}: {error}", work.name))?;
        results.print(work.name);
        if let Some(path) = &args.json {
            results.save(path)?;
        }
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Work>> {
    if names.is_empty() {
        return Ok(WORKS.iter().filter(|work| work.is_usual).collect());
    }
    let find = |name: &String| {
        let work = WORKS.iter().find(|work| work.name == name);
        work.ok_or_else(|| format!("no work is named {name}: see --list").into())
    };
    names.iter().map(find).collect()
}
