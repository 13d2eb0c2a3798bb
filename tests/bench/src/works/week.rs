//! A week in five minutes: a commit a minute, and each interval of Litestream as much shorter as the week is. What is stored
//! in the end, what was asked for, and which of some random moments of the week can be restored exactly.
//!
//! ebbtide's hours and its grace of a day cannot be made shorter, so nothing is made or deleted at their end. What a pass of
//! retention would delete after a day, segments that are in packs, is told apart.

use std::path::Path;

use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_store::Location;
use ebbtide_testkit::Random;

use crate::Result;
use crate::results::Results;
use crate::rig::{Case, Rig, application, remove_database};
use crate::tool::{Kind, Tool, address};
use crate::{check, writer};

/// How much shorter the week is than one.
const FASTER: u64 = 2016;

/// One a minute, for seven days.
const COMMITS: u64 = 7 * 24 * 60;

const MOMENTS: usize = 12;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let commits = if rig.quick { COMMITS / 20 } else { COMMITS };
    for tool in tools.iter().filter(|tool| tool.kind != Kind::Litestream3) {
        let tool = &tool.in_a_hurry(FASTER);
        let case = rig.case()?;
        drop(writer::open(&case.pair.database)?);
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        rig.quiet_since(&case.prefix, 0).or_else(|error| match tool.kind {
            // It never rests.
            Kind::Litestream5 => Ok(writer::micros()),
            _ => Err(error),
        })?;
        let before = rig.proxy.requests(&case.prefix).len();
        let pause = 60_000_000 / FASTER;
        let task = ["pace", &commits.to_string(), &pause.to_string()];
        let mut application = application(&case.pair.database, &task, &case.directory)?;
        let mut times = Vec::new();
        while let Some(line) = application.line()?.filter(|line| line != "end") {
            let mut words = line.split(' ').skip(1).map(str::parse::<u64>);
            times.push((words.next().ok_or("no time")??, words.next().ok_or("no time")??));
        }
        std::thread::sleep(std::time::Duration::from_secs(3));
        let requests = rig.proxy.requests(&case.prefix).split_off(before);
        let usage = sidecar.usage()?;
        sidecar.stop()?;
        application.wait()?;
        let mut add = |metric: &str, value| results.add("week", metric, tool.name(), value);
        let count = |is: fn(&crate::proxy::Request) -> bool| {
            requests.iter().filter(|request| is(request)).count() as f64
        };
        add(
            "puts",
            count(|request| {
                matches!(&*request.method, "PUT" | "POST") && !request.target.contains("?delete")
            }),
        );
        add(
            "listings",
            count(|request| request.method == "GET" && request.target.contains("list-type")),
        );
        add(
            "other reads",
            count(|request| {
                matches!(&*request.method, "GET" | "HEAD") && !request.target.contains("list-type")
            }),
        );
        add("uploaded (MB)", requests.iter().map(|request| request.sent).sum::<u64>() as f64 / 1e6);
        let [stored, kept] = stored(rig, tool, &case)?;
        add("stored (MB)", stored);
        add("stored, without segments that are in packs (MB)", kept);
        add("CPU time (s)", usage.cpu_time.as_secs_f64());
        let (exact, off) = moments(tool, &case, &times)?;
        add("exact, of 12 moments of the week", exact);
        add("most commits off", off);
    }
    Ok(())
}

fn moments(tool: &Tool, case: &Case, times: &[(u64, u64)]) -> Result<(f64, f64)> {
    let mut random = Random::new(20_261_128);
    let (mut exact, mut off) = (0, 0_u64);
    for part in 0..MOMENTS {
        // One in each twelfth of the week, between two commits, so that there is one right answer.
        let (low, high) = (part * times.len() / MOMENTS, (part + 1) * times.len() / MOMENTS - 2);
        let after = random.between(u32::try_from(low)?, u32::try_from(high)?) as usize;
        let moment = u64::midpoint(times[after].1, times[after + 1].0);
        let out = case.directory.join("restored.db");
        remove_database(&out);
        let done = tool.restore(&case.pair, &case.directory, &out, Some(moment))?;
        let rows = if done.status.success() { check::content(&out)?.rows } else { 0 };
        let expected = after as u64 + 1;
        exact += u32::from(done.status.success() && rows == expected);
        off = off.max(rows.abs_diff(expected));
    }
    Ok((f64::from(exact), off as f64))
}

/// What is stored, in MB, and what of it stays after a day.
fn stored(rig: &Rig, tool: &Tool, case: &Case) -> Result<[f64; 2]> {
    if tool.kind != Kind::Ebbtide {
        // MinIO keeps a few hundred bytes more for each object, of which there are few.
        let bytes = bytes_under(&rig.bucket().join(&case.prefix))? as f64 / 1e6;
        return Ok([bytes, bytes]);
    }
    let location: Location = address(&case.pair.place).parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = location.open().await?;
        let (mut all, mut kept) = (0, 0);
        let packs = store.list(KeyPrefix::Pack, None).await?;
        let packed = packs.iter().filter_map(|object| match object.key {
            Key::Pack { last, .. } => Some(last),
            _ => None,
        });
        let packed = packed.max();
        for under in [KeyPrefix::Log, KeyPrefix::Pack, KeyPrefix::Snapshot, KeyPrefix::Delta] {
            for object in store.list(under, None).await? {
                all += object.size;
                let is_packed = matches!(object.key, Key::Log(first) if Some(first) <= packed);
                kept += if is_packed { 0 } else { object.size };
            }
        }
        Ok([all as f64 / 1e6, kept as f64 / 1e6])
    })
}

fn bytes_under(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_under(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
