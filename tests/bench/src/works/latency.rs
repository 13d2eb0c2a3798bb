//! Sparse commits: from the end of the COMMIT until the store has confirmed the object with it.

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal};
use crate::stats::percentile;
use crate::tool::Tool;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let commits = if rig.quick { 20 } else { 120 };
    let eager = tools.iter().filter_map(Tool::eager);
    for tool in tools.iter().cloned().chain(eager) {
        let latencies = measure(rig, &tool, commits)?;
        for (metric, share) in
            [("median (ms)", 0.5), ("p90 (ms)", 0.9), ("p99 (ms)", 0.99), ("longest (ms)", 1.0)]
        {
            results.add("latency", metric, tool.name(), percentile(&latencies, share));
        }
        for latency in latencies {
            results.add("latency samples", "latency (ms)", tool.name(), latency);
        }
    }
    Ok(())
}

fn measure(rig: &Rig, tool: &Tool, commits: u64) -> Result<Vec<f64>> {
    let case = rig.case()?;
    fill(&case.pair.database, 1 << 20, &case.directory)?;
    let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
    rig.quiet_since(&case.prefix, 0)?;
    let pause = "400000";
    let task = ["pace", &commits.to_string(), pause];
    let mut writer = application(&case.pair.database, &task, &case.directory)?;
    let mut times = Vec::new();
    while let Some(line) = writer.line()?.filter(|line| line != "end") {
        let mut words = line.split(' ').skip(1).map(str::parse::<u64>);
        let (begin, end) = (words.next().ok_or("no time")??, words.next().ok_or("no time")??);
        times.push((begin, end));
    }
    let last = times.last().map_or(0, |&(begin, _)| begin);
    rig.quiet_since(&case.prefix, last)?;
    let puts = rig.proxy.requests(&case.prefix);
    let puts = puts.iter().filter(|put| put.is_write() && tool.is_log(&put.target));
    let puts: Vec<_> = puts.collect();
    let mut latencies = Vec::new();
    for (begin, end) in times {
        // A put that had begun before the commit cannot have it.
        let put = puts.iter().filter(|put| put.begun >= begin).map(|put| put.answered).min();
        let put = put.ok_or("a commit after which nothing was put")?;
        latencies.push(put.saturating_sub(end) as f64 / 1000.0);
    }
    sidecar.stop()?;
    writer.wait()?;
    restore_equal(tool, &case, &case.pair.database)?;
    Ok(latencies)
}
