//! Many databases in one process.

use std::thread::sleep;
use std::time::Duration;

use ebbtide_testkit::process::Usage;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application};
use crate::tool::{Pair, Place, Tool};
use crate::{check, writer};

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let (count, active, seconds) = if rig.quick { (30, 3, 10) } else { (300, 30, 40) };
    for tool in tools {
        let measured = measure(rig, tool, count, active, seconds)?;
        measured.add(results, "many", tool.name());
    }
    Ok(())
}

pub(crate) fn thousand(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let (count, active, seconds) = if rig.quick { (100, 5, 10) } else { (1000, 50, 40) };
    for tool in tools {
        let measured = measure(rig, tool, count, active, seconds)?;
        measured.add(results, "thousand", tool.name());
    }
    Ok(())
}

/// What many databases take.
pub(crate) struct Measured {
    idle_percent: f64,
    idle_requests: f64,
    idle: Usage,
    busy_percent: f64,
    busy: Usage,
}

impl Measured {
    pub(crate) fn add(&self, results: &mut Results, work: &str, column: &str) {
        let mut add = |metric: &str, value| results.add(work, metric, column, value);
        add("idle: CPU (%)", self.idle_percent);
        add("idle: peak memory (MB)", self.idle.resident_bytes_max as f64 / 1e6);
        add("idle: requests a minute", self.idle_requests);
        add("writing: CPU (%)", self.busy_percent);
        add("writing: peak memory (MB)", self.busy.resident_bytes_max as f64 / 1e6);
        add("descriptors", self.busy.descriptors as f64);
    }
}

/// Follows `count` databases, first idle, then with a commit a second in `active` of them.
pub(crate) fn measure(
    rig: &Rig,
    tool: &Tool,
    count: usize,
    active: usize,
    seconds: u64,
) -> Result<Measured> {
    let case = rig.case()?;
    let mut pairs = Vec::new();
    for index in 0..count {
        let database = case.directory.join(format!("{index}.db"));
        let connection = writer::open(&database)?;
        connection.execute("INSERT INTO t (at, body) VALUES (0, x'00')", [])?;
        let place = Place::Bucket(rig.proxy.address, format!("{}/{index}", case.prefix));
        pairs.push(Pair { database, place });
    }
    let sidecar = tool.replicate(&pairs, &case.directory)?;
    rig.quiet_since(&case.prefix, 0)?;
    // Whatever has to settle after the start may.
    sleep(Duration::from_secs(seconds.min(10)));
    let window = Duration::from_secs(seconds);
    let percent = |from: Usage, to: Usage| {
        to.cpu_time.saturating_sub(from.cpu_time).as_secs_f64() / window.as_secs_f64() * 100.0
    };
    let (begin, requests) = (sidecar.usage()?, rig.proxy.count());
    sleep(window);
    let (idle, requests) = (sidecar.usage()?, rig.proxy.count() - requests);
    let task = ["many", &active.to_string(), &seconds.to_string()];
    let mut application = application(&case.directory, &task, &case.directory)?;
    application.lines_to("ready")?;
    let from = sidecar.usage()?;
    application.lines_to("end")?;
    let busy = sidecar.usage()?;
    rig.quiet_since(&case.prefix, writer::micros() - 1_000_000)?;
    sidecar.stop()?;
    application.wait()?;
    for pair in [&pairs[0], &pairs[active - 1], &pairs[count - 1]] {
        let out = case.directory.join("restored");
        let done = tool.restore(pair, &case.directory, &out, None)?;
        if !done.status.success() {
            return Err(format!("{} restores with {}", tool.name(), done.status).into());
        }
        check::equal(&pair.database, &out)?;
        crate::rig::remove_database(&out);
    }
    Ok(Measured {
        idle_percent: percent(begin, idle),
        idle_requests: requests as f64 / window.as_secs_f64() * 60.0,
        idle,
        busy_percent: percent(from, busy),
        busy,
    })
}
