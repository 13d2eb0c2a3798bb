//! An application that commits as fast as it can, alone and beside a tool.

use serde_json::Value;

use crate::Result;
use crate::results::Results;
use crate::rig::{Case, Rig, application, fill, log_bytes, restore_equal, settle_disk};
use crate::tool::Tool;

const ALONE: &str = "alone";

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let seconds = if rig.quick { 4 } else { 12 };
    for _ in 0..rig.repeat {
        let before = alone(rig, seconds, results)?;
        for tool in tools {
            let case = rig.case()?;
            fill(&case.pair.database, 1 << 20, &case.directory)?;
            let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
            rig.quiet_since(&case.prefix, 0)?;
            let used = sidecar.usage()?;
            let since = crate::writer::micros();
            let (told, log) = saturate(&case, seconds)?;
            let usage = sidecar.usage()?;
            rig.quiet_since(&case.prefix, since)?;
            sidecar.stop()?;
            restore_equal(tool, &case, &case.pair.database)?;
            add(results, tool.name(), &told, log);
            let rate = told["rate"].as_f64().unwrap_or(0.0);
            results.add("saturate", "rate, share of alone", tool.name(), rate / before);
            let cpu_time = usage.cpu_time.saturating_sub(used.cpu_time).as_secs_f64();
            results.add("saturate", "its CPU time (s)", tool.name(), cpu_time);
            let resident = usage.resident_bytes_max as f64 / 1e6;
            results.add("saturate", "its memory (MB)", tool.name(), resident);
        }
    }
    Ok(())
}

fn alone(rig: &Rig, seconds: u64, results: &mut Results) -> Result<f64> {
    let case = rig.case()?;
    fill(&case.pair.database, 1 << 20, &case.directory)?;
    let (told, log) = saturate(&case, seconds)?;
    add(results, ALONE, &told, log);
    Ok(told["rate"].as_f64().unwrap_or(0.0))
}

/// What the application told, and how large the log was when it had ended.
fn saturate(case: &Case, seconds: u64) -> Result<(Value, u64)> {
    settle_disk();
    let task = ["saturate", &seconds.to_string()];
    let mut writer = application(&case.pair.database, &task, &case.directory)?;
    let told = writer.line()?.ok_or("the application failed")?;
    let log = log_bytes(&case.pair.database);
    writer.wait()?;
    Ok((serde_json::from_str(&told)?, log))
}

fn add(results: &mut Results, column: &str, told: &Value, log: u64) {
    let rows =
        [("commits a second", "rate"), ("median commit (µs)", "p50"), ("p99 commit (µs)", "p99")];
    for (metric, key) in
        rows.into_iter().chain([("p99.9 commit (µs)", "p999"), ("longest commit (µs)", "max")])
    {
        results.add("saturate", metric, column, told[key].as_f64().unwrap_or(0.0));
    }
    results.add("saturate", "log afterwards (MB)", column, log as f64 / 1e6);
}
