//! An application that opens and closes the database for each commit, alone and beside a tool: its last close empties the
//! log itself, or leaves that to the tool.

use serde_json::Value;

use crate::Result;
use crate::results::Results;
use crate::rig::{Case, Rig, application, fill, restore_equal, settle_disk};
use crate::tool::Tool;

/// Without a pause a tool is never alone with the database; with this one, each time.
const PAUSES_MILLIS: [u64; 2] = [0, 150];

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    for _ in 0..rig.repeat {
        for pause in PAUSES_MILLIS {
            let times = match (pause, rig.quick) {
                (0, false) => 1500,
                (0, true) => 300,
                (_, false) => 60,
                (_, true) => 20,
            };
            let case = rig.case()?;
            fill(&case.pair.database, 1 << 20, &case.directory)?;
            let alone = reopen(&case, times, pause)?;
            add(results, pause, "alone", &alone);
            for tool in tools {
                let case = rig.case()?;
                fill(&case.pair.database, 1 << 20, &case.directory)?;
                let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
                rig.quiet_since(&case.prefix, 0)?;
                let since = crate::writer::micros();
                let told = reopen(&case, times, pause)?;
                rig.quiet_since(&case.prefix, since)?;
                sidecar.stop()?;
                restore_equal(tool, &case, &case.pair.database)?;
                add(results, pause, tool.name(), &told);
                let share = mean(&told) / mean(&alone);
                let metric = format!("mean, times alone, {pause} ms between");
                results.add("reopen", &metric, tool.name(), share);
            }
        }
    }
    Ok(())
}

fn reopen(case: &Case, times: u32, pause: u64) -> Result<Value> {
    settle_disk();
    let task = ["reopen", &times.to_string(), &pause.to_string()];
    let mut writer = application(&case.pair.database, &task, &case.directory)?;
    let told = writer.line()?.ok_or("the application failed")?;
    writer.wait()?;
    Ok(serde_json::from_str(&told)?)
}

fn mean(told: &Value) -> f64 {
    told["mean"].as_f64().unwrap_or(f64::NAN)
}

fn add(results: &mut Results, pause: u64, column: &str, told: &Value) {
    for (metric, key) in [("mean (µs)", "mean"), ("p99 (µs)", "p99"), ("longest (µs)", "max")] {
        let metric = format!("{metric}, {pause} ms between");
        results.add("reopen", &metric, column, told[key].as_f64().unwrap_or(0.0));
    }
}
