//! One large transaction, until the store has all of it.

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal, settle_disk};
use crate::tool::Tool;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let bytes: u64 = if rig.quick { 100_000_000 } else { 400_000_000 };
    for _ in 0..rig.repeat {
        for tool in tools {
            let case = rig.case()?;
            fill(&case.pair.database, 1 << 20, &case.directory)?;
            let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
            rig.quiet_since(&case.prefix, 0)?;
            settle_disk();
            let used = sidecar.usage()?;
            let task = ["once", &bytes.to_string()];
            let mut writer = application(&case.pair.database, &task, &case.directory)?;
            let told = writer.line()?.ok_or("the application failed")?;
            let mut words = told.split(' ').skip(1).map(str::parse::<u64>);
            let (begin, end) = (words.next().ok_or("no time")??, words.next().ok_or("no time")??);
            let durable = rig.quiet_since(&case.prefix, begin)?;
            let usage = sidecar.usage()?;
            sidecar.stop()?;
            writer.wait()?;
            restore_equal(tool, &case, &case.pair.database)?;
            let megabytes = bytes as f64 / 1e6;
            let rate = |since: u64| megabytes / (durable.saturating_sub(since) as f64 / 1e6);
            let cpu_time = usage.cpu_time.saturating_sub(used.cpu_time).as_secs_f64();
            let name = tool.name();
            results.add("bulk", "from COMMIT to durable (MB/s)", name, rate(end));
            results.add("bulk", "from BEGIN to durable (MB/s)", name, rate(begin));
            results.add("bulk", "CPU time (s)", name, cpu_time);
            results.add("bulk", "peak memory (MB)", name, usage.resident_bytes_max as f64 / 1e6);
        }
    }
    Ok(())
}
