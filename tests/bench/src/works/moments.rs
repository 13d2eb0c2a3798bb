//! Restores to random moments: exact if they have all commits before and none after.

use ebbtide_testkit::Random;

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, remove_database};
use crate::tool::Tool;
use crate::{check, writer};

const MOMENTS: usize = 12;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let commits = if rig.quick { 200 } else { 600 };
    for tool in tools {
        let case = rig.case()?;
        drop(writer::open(&case.pair.database)?);
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        rig.quiet_since(&case.prefix, 0)?;
        let task = ["pace", &commits.to_string(), "50000"];
        let mut application = application(&case.pair.database, &task, &case.directory)?;
        let mut times = Vec::new();
        while let Some(line) = application.line()?.filter(|line| line != "end") {
            let mut words = line.split(' ').skip(1).map(str::parse::<u64>);
            times.push((words.next().ok_or("no time")??, words.next().ok_or("no time")??));
        }
        rig.quiet_since(&case.prefix, times.last().map_or(0, |&(begin, _)| begin))?;
        sidecar.stop()?;
        application.wait()?;
        let mut random = Random::new(20_261_121);
        let (mut exact, mut off) = (0, 0_u64);
        for _ in 0..MOMENTS {
            // Between two commits, so that there is one right answer.
            let after = random.between(commits / 10, commits - 2) as usize;
            let moment = u64::midpoint(times[after].1, times[after + 1].0);
            let out = case.directory.join("restored.db");
            remove_database(&out);
            let done = tool.restore(&case.pair, &case.directory, &out, Some(moment))?;
            let rows = if done.status.success() { check::content(&out)?.rows } else { 0 };
            let expected = after as u64 + 1;
            exact += u32::from(done.status.success() && rows == expected);
            off = off.max(rows.abs_diff(expected));
        }
        results.add("moments", "exact, of 12", tool.name(), f64::from(exact));
        results.add("moments", "most commits off", tool.name(), off as f64);
    }
    Ok(())
}
