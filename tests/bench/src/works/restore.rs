//! A restore over a store that takes 20 ms to answer.

use std::time::Duration;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal};
use crate::tool::Tool;

const LATENCY: Duration = Duration::from_millis(20);

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    // Twenty a second, as the peers' interval of a second wants it, and nine a second, which gives ebbtide an object
    // for each.
    let paces: &[(&str, &str)] =
        if rig.quick { &[("20/s", "50000")] } else { &[("20/s", "50000"), ("9/s", "111000")] };
    for (pace, pause) in paces {
        for tool in tools {
            let case = rig.case()?;
            let bytes = if rig.quick { 20_000_000 } else { 200_000_000 };
            fill(&case.pair.database, bytes, &case.directory)?;
            let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
            rig.quiet_since(&case.prefix, 0)?;
            let commits = if rig.quick { "60" } else { "600" };
            let mut writer =
                application(&case.pair.database, &["pace", commits, pause], &case.directory)?;
            writer.lines_to("end")?;
            rig.quiet_since(&case.prefix, crate::writer::micros() - 2_000_000)?;
            sidecar.stop()?;
            writer.wait()?;
            rig.proxy.set_latency(LATENCY);
            for _ in 0..rig.repeat + 2 {
                let before = rig.proxy.count();
                let done = restore_equal(tool, &case, &case.pair.database)?;
                let requests = rig.proxy.count() - before;
                let name = tool.name();
                let mut add = |metric: &str, value| {
                    results.add("restore", &format!("{pace}: {metric}"), name, value);
                };
                add("time (s)", done.time.as_secs_f64());
                add("CPU time (s)", done.cpu_time.as_secs_f64());
                add("peak memory (MB)", done.resident_max as f64 / 1e6);
                add("requests", requests as f64);
            }
            rig.proxy.set_latency(Duration::ZERO);
        }
    }
    Ok(())
}
