//! The tool was down for so long that the log is gone, and one page of a hundred was changed meanwhile.

use crate::Result;
use crate::results::Results;
use crate::rig::{Rig, application, fill, restore_equal, settle_disk};
use crate::tool::Tool;
use crate::writer::micros;

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let bytes: u64 = if rig.quick { 100_000_000 } else { 1_000_000_000 };
    let commits = (bytes / 4096 / 100).to_string();
    for tool in tools {
        let case = rig.case()?;
        let database = &case.pair.database;
        fill(database, bytes, &case.directory)?;
        let pairs = std::slice::from_ref(&case.pair);
        let sidecar = tool.replicate(pairs, &case.directory)?;
        rig.quiet_since(&case.prefix, 0)?;
        sidecar.stop()?;
        // The last connection to close copies the log back and removes it.
        let mut writer = application(database, &["touch", &commits], &case.directory)?;
        writer.lines_to("end")?;
        writer.wait()?;
        settle_disk();
        let since = micros();
        let sidecar = tool.replicate(pairs, &case.directory)?;
        let durable = rig.quiet_since(&case.prefix, since)?;
        let usage = sidecar.usage()?;
        sidecar.stop()?;
        let requests = rig.proxy.requests(&case.prefix);
        let writes = requests.iter().filter(|request| request.is_write() && request.begun >= since);
        let sent: u64 = writes.map(|request| request.sent).sum();
        restore_equal(tool, &case, database)?;
        let mut add = |metric: &str, value| results.add("resync", metric, tool.name(), value);
        add("until durable (s)", (durable - since) as f64 / 1e6);
        add("CPU time (s)", usage.cpu_time.as_secs_f64());
        add("peak memory (MB)", usage.resident_bytes_max as f64 / 1e6);
        add("uploaded (MB)", sent as f64 / 1e6);
        add("uploaded, share of the database (%)", sent as f64 / bytes as f64 * 100.0);
    }
    Ok(())
}
