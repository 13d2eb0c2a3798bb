//! A database that nobody writes.

use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, fill, restore_equal};
use crate::tool::Tool;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let window = Duration::from_secs(if rig.quick { 15 } else { 90 });
    for tool in tools {
        let case = rig.case()?;
        fill(&case.pair.database, 1 << 20, &case.directory)?;
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        rig.quiet_since(&case.prefix, 0)?;
        sleep(Duration::from_secs(10));
        let (used, before) = (sidecar.usage()?, rig.proxy.count());
        sleep(window);
        let (usage, after) = (sidecar.usage()?, rig.proxy.count());
        sidecar.stop()?;
        restore_equal(tool, &case, &case.pair.database)?;
        let hours = window.as_secs_f64() / 3600.0;
        let cpu_time = usage.cpu_time.saturating_sub(used.cpu_time).as_secs_f64();
        let name = tool.name();
        results.add("idle", "requests an hour", name, (after - before) as f64 / hours);
        results.add("idle", "CPU (%)", name, cpu_time / window.as_secs_f64() * 100.0);
        results.add("idle", "peak memory (MB)", name, usage.resident_bytes_max as f64 / 1e6);
    }
    Ok(())
}
