//! The metrics of the process, and what it counts for all of its databases together.

use std::fmt;

use super::exposition::{Exposition, Labels, bytes, plain, seconds};
use super::seen::Seen;
use super::values::count;

/// Writes them.
pub(super) fn write(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let one = |value: f64| std::iter::once((Labels::new(), value));
    let some = |value: Option<f64>| value.map(|value| (Labels::new(), value)).into_iter();
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let build = plain("ebbtide_build_info", "The version of ebbtide, as a label");
    to.gauges(build, std::iter::once((version, 1.0)))?;
    let databases = plain("ebbtide_databases", "Databases that are followed, or are to be");
    to.gauges(databases, one(count(seen.databases.len() as u64)))?;
    let stopped = "Databases that are not followed any more because of an error";
    to.counters(plain("ebbtide_databases_stopped", stopped), one(count(seen.stopped)))?;
    let lost = plain("ebbtide_log_lines_lost", "Lines that could not be logged");
    to.counters(lost, one(count(seen.lines_lost)))?;
    let took =
        "How long requests to stores took until they were answered, of all databases together";
    to.histograms(
        seconds("ebbtide_store_request_duration", took),
        seen.durations.read().map(|(kind, took)| (vec![("kind", kind.to_string())], took)),
    )?;
    let look = &seen.process;
    let cpu = seconds("process_cpu", "CPU time of the process, user and system");
    to.counters(cpu, some(look.cpu_seconds))?;
    let resident = bytes("process_resident_memory", "Memory of the process that is in RAM");
    to.gauges(resident, some(look.resident_bytes))?;
    let size = bytes("process_virtual_memory", "Address space of the process");
    to.gauges(size, some(look.virtual_bytes))?;
    to.gauges(plain("process_threads", "Threads of the process"), some(look.threads))?;
    let open = plain("process_open_fds", "File descriptors that the process has open");
    to.gauges(open, some(look.open_descriptors))?;
    let most = plain("process_max_fds", "File descriptors that the process may have open");
    to.gauges(most, some(look.descriptors_max))?;
    let start = seconds("process_start_time", "When the process began, since the epoch");
    to.gauges(start, some(look.start_seconds))
}
