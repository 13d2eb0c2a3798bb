//! A restore of a large database against a copy of the same bytes, both durable at the end.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, fill, restore_equal, settle_disk};
use crate::tool::Tool;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let bytes = if rig.quick { 200_000_000 } else { 2_100_000_000 };
    for (place, case) in [("directory", rig.directory_case()?), ("MinIO", rig.case()?)] {
        fill(&case.pair.database, bytes, &case.directory)?;
        for tool in tools {
            let mut pair = case.pair.clone();
            let own = rig.case()?;
            if place == "directory" {
                pair.place = crate::tool::Place::Directory(own.directory.join("replica"));
            } else {
                pair.place = own.pair.place.clone();
            }
            let sidecar = tool.replicate(std::slice::from_ref(&pair), &own.directory)?;
            match place {
                "directory" => wait_for_directory(&own.directory.join("replica"))?,
                _ => drop(rig.quiet_since(&own.prefix, 0)?),
            }
            sidecar.stop()?;
            pair.place = rig.direct(&pair.place);
            let restored =
                crate::rig::Case { directory: own.directory.clone(), pair, prefix: String::new() };
            for _ in 0..rig.repeat {
                let copied = copy(&restored.pair.database, &own.directory.join("copy.db"))?;
                let done = restore_equal(tool, &restored, &restored.pair.database)?;
                let mut add = |metric: &str, value| {
                    results.add("large", &format!("{place}: {metric}"), tool.name(), value);
                };
                let time = done.time.as_secs_f64();
                add("time (s)", time);
                add("cp and fsync (s)", copied);
                add("speed, share of cp", copied / time);
                add("CPU time (s)", done.cpu_time.as_secs_f64());
                add("peak memory (MB)", done.resident_max as f64 / 1e6);
            }
        }
    }
    Ok(())
}

/// Seconds for a copy that is durable.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<f64> {
    settle_disk();
    let begun = Instant::now();
    fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    let seconds = begun.elapsed().as_secs_f64();
    fs::remove_file(to)?;
    Ok(seconds)
}

/// Waits until a directory has not grown for a while.
fn wait_for_directory(directory: &Path) -> Result<()> {
    let mut sizes = Vec::new();
    while sizes.len() < 6
        || sizes[sizes.len() - 6..].windows(2).any(|two| two[0] != two[1])
        || sizes[sizes.len() - 1] == 0
    {
        std::thread::sleep(std::time::Duration::from_millis(500));
        sizes.push(size(directory));
        if sizes.len() > 1200 {
            return Err("the directory does not come to rest".into());
        }
    }
    Ok(())
}

fn size(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
