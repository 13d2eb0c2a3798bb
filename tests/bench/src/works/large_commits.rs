//! An application that commits a megabyte at a time as fast as it can, alone and beside a tool: faster than anybody copies
//! it, so that somebody has to wait.

use serde_json::Value;

use crate::Result;
use crate::results::Results;
use crate::rig::{Case, Rig, application, fill, log_bytes, restore_equal, settle_disk};
use crate::tool::Tool;

const WORK: &str = "large-commits";
const COMMIT_BYTES: u32 = 1_000_000;

/// What the rows are made of: words, which LZ4 makes short, or bytes that nothing does.
const CONTENTS: [&str; 2] = ["text", "random"];

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let commits = if rig.quick { 100 } else { 400 };
    for _ in 0..rig.repeat {
        for content in CONTENTS {
            let case = rig.case()?;
            fill(&case.pair.database, 1 << 20, &case.directory)?;
            let alone = commit(&case, commits, content)?;
            add(results, content, "alone", &alone);
            for tool in tools {
                let beside = beside(rig, tool, commits, content)?;
                add(results, content, tool.name(), &beside);
                for (metric, key) in [("duration", "seconds"), ("p99", "p99"), ("longest", "max")] {
                    let share = number(&beside.0, key) / number(&alone.0, key);
                    let metric = format!("{content}: {metric}, times alone");
                    results.add(WORK, &metric, tool.name(), share);
                }
            }
        }
    }
    Ok(())
}

fn beside(rig: &Rig, tool: &Tool, commits: u32, content: &str) -> Result<(Value, u64)> {
    let case = rig.case()?;
    fill(&case.pair.database, 1 << 20, &case.directory)?;
    let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
    rig.quiet_since(&case.prefix, 0)?;
    let since = crate::writer::micros();
    let told = commit(&case, commits, content)?;
    rig.quiet_since(&case.prefix, since)?;
    sidecar.stop()?;
    restore_equal(tool, &case, &case.pair.database)?;
    Ok(told)
}

/// What the application told, and how large the log was when it had ended.
fn commit(case: &Case, commits: u32, content: &str) -> Result<(Value, u64)> {
    settle_disk();
    let task = ["large", &commits.to_string(), &COMMIT_BYTES.to_string(), content];
    let mut writer = application(&case.pair.database, &task, &case.directory)?;
    let told = writer.line()?.ok_or("the application failed")?;
    let log = log_bytes(&case.pair.database);
    writer.wait()?;
    Ok((serde_json::from_str(&told)?, log))
}

fn number(told: &Value, key: &str) -> f64 {
    told[key].as_f64().unwrap_or(f64::NAN)
}

fn add(results: &mut Results, content: &str, column: &str, (told, log): &(Value, u64)) {
    let mut add = |metric: &str, number| {
        results.add(WORK, &format!("{content}: {metric}"), column, number);
    };
    add("duration (s)", number(told, "seconds"));
    for (metric, key) in
        [("median commit (ms)", "p50"), ("p99 commit (ms)", "p99"), ("longest commit (ms)", "max")]
    {
        add(metric, number(told, key) / 1e3);
    }
    add("log afterwards (MB)", *log as f64 / 1e6);
}
