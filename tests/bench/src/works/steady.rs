//! 200 commits a second for half a minute.

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal};
use crate::tool::Tool;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let commits: u32 = if rig.quick { 2_000 } else { 6_000 };
    for _ in 0..rig.repeat {
        for tool in tools {
            let case = rig.case()?;
            fill(&case.pair.database, 1 << 20, &case.directory)?;
            let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
            rig.quiet_since(&case.prefix, 0)?;
            let used = sidecar.usage()?;
            let puts = |what: Vec<crate::proxy::Request>| {
                what.iter().filter(|request| request.is_write()).count()
            };
            let before = puts(rig.proxy.requests(&case.prefix));
            let task = ["pace", &commits.to_string(), "5000"];
            let mut writer = application(&case.pair.database, &task, &case.directory)?;
            writer.lines_to("end")?;
            let end = crate::writer::micros();
            let after = puts(rig.proxy.requests(&case.prefix));
            let usage = sidecar.usage()?;
            rig.quiet_since(&case.prefix, end - 1_000_000)?;
            sidecar.stop()?;
            writer.wait()?;
            restore_equal(tool, &case, &case.pair.database)?;
            let cpu_time = usage.cpu_time.saturating_sub(used.cpu_time).as_secs_f64();
            let name = tool.name();
            let each = cpu_time * 1e6 / f64::from(commits);
            results.add("steady", "CPU time a commit (µs)", name, each);
            results.add("steady", "peak memory (MB)", name, usage.resident_bytes_max as f64 / 1e6);
            results.add("steady", "puts", name, (after - before) as f64);
        }
    }
    Ok(())
}
