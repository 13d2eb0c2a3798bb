//! A directory of databases that nobody has open, from one to ten thousand, named by one pattern.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;

use crate::Result;
use crate::process::Running;
use crate::results::Results;
use crate::rig::Rig;
use crate::tool::{Kind, Place, Tool, address};
use crate::{check, writer};

/// So many, or as many as the limit of descriptors allows.
const MOST: usize = 10_000;

/// How long ten thousand may take to be followed.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let tool = tools.iter().find(|tool| tool.kind == Kind::Ebbtide);
    let tool = tool.ok_or("this is about ebbtide")?;
    let (counts, seconds): (&[usize], u64) =
        if rig.quick { (&[1, 10], 5) } else { (&[1, 10, 100, 1_000, MOST], 60) };
    for &count in counts {
        measure(rig, tool, count.min(most()?), seconds, results)?;
    }
    Ok(())
}

/// How many databases one process may follow here, in thousands: each at rest takes three descriptors, and some are for
/// everything else.
fn most() -> Result<usize> {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let databases = usize::try_from(limit.saturating_sub(1_500) / 3)?;
    Ok((databases / 1_000 * 1_000).max(1_000))
}

/// Follows `count` databases for the first time and for the second, and looks what they cost for `seconds`.
fn measure(
    rig: &Rig,
    tool: &Tool,
    count: usize,
    seconds: u64,
    results: &mut Results,
) -> Result<()> {
    let case = rig.case()?;
    let tenants = case.directory.join("tenants");
    for index in 0..count {
        let directory = tenants.join((index % 100).to_string());
        fs::create_dir_all(&directory)?;
        let connection = writer::open(&directory.join(format!("{index}.db")))?;
        connection.execute("INSERT INTO t (at, body) VALUES (0, x'00')", [])?;
    }
    let template = Place::Bucket(rig.proxy.address, format!("{}/{{relative}}", case.prefix));
    let config = case.directory.join("ebbtide.toml");
    let (pattern, replica) = (tenants.join("**/*.db"), address(&template));
    let text = format!("[[database]]\npath = \"{}\"\nreplica = \"{replica}\"\n", pattern.display());
    fs::write(&config, text)?;
    let column = count.to_string();
    let mut add = |metric: &str, value| results.add("tenants", metric, &column, value);
    let (first, sidecar) = start(tool, &config, count)?;
    sidecar.stop()?;
    add("first start: until all are followed (s)", first.as_secs_f64());
    let (second, sidecar) = start(tool, &config, count)?;
    add("second start: until all are followed (s)", second.as_secs_f64());
    add("start: peak memory (MB)", sidecar.usage()?.resident_bytes_max as f64 / 1e6);
    // Whatever has to settle after the start may.
    sleep(Duration::from_secs(seconds.min(15)));
    let (begin, requests) = (sidecar.usage()?, rig.proxy.count());
    sleep(Duration::from_secs(seconds));
    let (end, requests) = (sidecar.usage()?, rig.proxy.count() - requests);
    let cpu_time = end.cpu_time.saturating_sub(begin.cpu_time).as_secs_f64();
    add("idle: CPU (%)", cpu_time / seconds as f64 * 100.0);
    add("idle: requests a minute", requests as f64 / seconds as f64 * 60.0);
    add("idle: descriptors", end.descriptors as f64);
    // One that comes.
    let database = tenants.join("0/new.db");
    let begun = Instant::now();
    let connection = writer::open(&database)?;
    connection.execute("INSERT INTO t (at, body) VALUES (0, x'00')", [])?;
    wait_for(tool, &config, count + 1)?;
    add("a new database: until it is followed (s)", begun.elapsed().as_secs_f64());
    let mut sync = with_sockets(tool.command("sync"), &config);
    if !sync.args(["--wait", "--timeout", "120s"]).arg(&database).status()?.success() {
        return Err("the new database was not durable within two minutes".into());
    }
    sidecar.stop()?;
    let place = Place::Bucket(rig.proxy.address, format!("{}/0/new.db", case.prefix));
    let pair = crate::tool::Pair { database: database.clone(), place };
    let out = case.directory.join("restored");
    let done = tool.restore(&pair, &case.directory, &out, None)?;
    if !done.status.success() {
        return Err(format!("a restore ends with {}", done.status).into());
    }
    check::equal(&database, &out)?;
    Ok(())
}

/// Starts, and waits until all are followed; how long that took.
fn start(tool: &Tool, config: &Path, count: usize) -> Result<(Duration, Running)> {
    let begun = Instant::now();
    let mut command = with_sockets(tool.command("replicate"), config);
    command.arg("--config").arg(config);
    let running = Running::start_unheard(&mut command, &config.with_file_name("replicate.log"))?;
    wait_for(tool, config, count)?;
    Ok((begun.elapsed(), running))
}

/// Waits until so many databases are followed.
fn wait_for(tool: &Tool, config: &Path, count: usize) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let output = with_sockets(tool.command("list"), config).arg("--json").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if lines.filter(|line| line["phase"] == "following").count() == count {
            return Ok(());
        }
        sleep(Duration::from_millis(if count > 1000 { 500 } else { 20 }));
    }
    Err(format!("{count} databases were not followed within {PATIENCE:?}").into())
}

/// With a directory for sockets beside the configuration.
fn with_sockets(mut command: Command, config: &Path) -> Command {
    command.env("EBBTIDE_RUNTIME_DIR", config.with_file_name("run"));
    command
}
