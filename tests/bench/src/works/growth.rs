//! How ebbtide grows: with the size of the database, with the number of databases, with the length of the history.

use std::fs::File;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal};
use crate::tool::{Kind, Tool};
use crate::works::{large, many};
use crate::writer::{micros, open};

const MB: u64 = 1_000_000;

fn ebbtide(tools: &[Tool]) -> Result<&Tool> {
    Ok(tools.iter().find(|tool| tool.kind == Kind::Ebbtide).ok_or("this is about ebbtide")?)
}

/// The first snapshot and a restore, from 1 MB to 20 GB. Above 1 GB most of the database is holes: real pages of zeros
/// that every step sees, hashes and compares, but that take no room in the store.
pub(crate) fn sizes(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let tool = ebbtide(tools)?;
    let sizes: &[u64] =
        if rig.quick { &[1, 10, 100] } else { &[1, 10, 100, 1_000, 10_000, 20_000] };
    for &megabytes in sizes {
        if !has_room(rig.scratch(), megabytes * MB * 2)? {
            eprintln!("!! no room for {megabytes} MB: left out");
            continue;
        }
        let case = rig.case()?;
        let database = &case.pair.database;
        fill(database, megabytes.min(1_000) * MB, &case.directory)?;
        if megabytes > 1_000 {
            widen(database, megabytes * MB)?;
        }
        let begun = micros();
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        let durable = rig.quiet_since(&case.prefix, 0)?;
        let usage = sidecar.usage()?;
        sidecar.stop()?;
        let column = format!("{megabytes} MB");
        let mut add = |metric: &str, value| results.add("sizes", metric, &column, value);
        add("snapshot: time (s)", (durable - begun) as f64 / 1e6);
        add("snapshot: peak memory (MB)", usage.resident_bytes_max as f64 / 1e6);
        for _ in 0..rig.repeat {
            let done = restore_equal(tool, &case, database)?;
            add("restore: time (s)", done.time.as_secs_f64());
            add("restore: peak memory (MB)", done.resident_max as f64 / 1e6);
            add("cp and fsync (s)", large::copy(database, &case.directory.join("copy.db"))?);
        }
    }
    Ok(())
}

/// Whether so many bytes are free.
fn has_room(directory: &std::path::Path, bytes: u64) -> Result<bool> {
    let statistics = nix::sys::statvfs::statvfs(directory)?;
    Ok(statistics.blocks_available().saturating_mul(statistics.fragment_size()) > bytes)
}

/// Makes a database longer by pages of zeros that nothing refers to.
fn widen(database: &std::path::Path, bytes: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let connection = open(database)?;
    connection.query_row("PRAGMA journal_mode = delete", [], |_| Ok(()))?;
    drop(connection);
    let pages = u32::try_from(bytes / 4096)?;
    let file = File::options().read(true).write(true).open(database)?;
    // The size in the header counts where the two change counters agree (fileformat2.html, 1.3.8).
    let mut counter = [0; 4];
    file.read_exact_at(&mut counter, 24)?;
    file.write_all_at(&counter, 92)?;
    file.write_all_at(&pages.to_be_bytes(), 28)?;
    file.set_len(u64::from(pages) * 4096)?;
    drop(file);
    drop(open(database)?);
    Ok(())
}

/// From one database to a thousand, a tenth of them with a commit a second.
pub(crate) fn numbers(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let tool = ebbtide(tools)?;
    let counts: &[usize] = if rig.quick { &[1, 10] } else { &[1, 10, 100, 300, 1000] };
    for &count in counts {
        let measured = many::measure(rig, tool, count, count.div_ceil(10), 20)?;
        measured.add(results, "numbers", &count.to_string());
    }
    Ok(())
}

/// Restores of 100 MB after more and more commits that each changed a page of it.
pub(crate) fn history(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let tool = ebbtide(tools)?;
    let lengths: &[u64] = if rig.quick { &[1, 100] } else { &[1, 10, 100, 1_000, 10_000, 100_000] };
    for &commits in lengths {
        let case = rig.case()?;
        fill(&case.pair.database, 100 * MB, &case.directory)?;
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        rig.quiet_since(&case.prefix, 0)?;
        let since = micros();
        let task = ["touch", &commits.to_string()];
        let mut writer = application(&case.pair.database, &task, &case.directory)?;
        writer.lines_to("end")?;
        rig.quiet_since(&case.prefix, since)?;
        sidecar.stop()?;
        writer.wait()?;
        let column = format!("{commits} commits");
        for _ in 0..rig.repeat {
            let before = rig.proxy.count();
            let done = restore_equal(tool, &case, &case.pair.database)?;
            let mut add = |metric: &str, value| results.add("history", metric, &column, value);
            add("restore: time (s)", done.time.as_secs_f64());
            add("restore: peak memory (MB)", done.resident_max as f64 / 1e6);
            add("restore: requests", (rig.proxy.count() - before) as f64);
        }
    }
    Ok(())
}
