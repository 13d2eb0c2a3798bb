//! What the system says of this process, as Linux has it in `/proc`; nothing elsewhere.

use std::fs;

/// What the system says of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProcessLook {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) virtual_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) start_seconds: Option<f64>,
    pub(super) open_descriptors: Option<f64>,
    pub(super) descriptors_max: Option<f64>,
}

impl ProcessLook {
    /// As of now.
    pub(super) fn now() -> ProcessLook {
        let text = |path: &str| fs::read_to_string(path).ok();
        let system = text("/proc/stat").unwrap_or_default();
        let stat = text("/proc/self/stat").unwrap_or_default();
        ProcessLook {
            open_descriptors: open_descriptors(),
            descriptors_max: text("/proc/self/limits").as_deref().and_then(descriptors_max),
            ..from_stat(&stat, &system)
        }
    }
}

/// What the fields of `/proc/self/stat` say (proc_pid_stat(5)). The name of the process may have anything in it, but comes
/// first, in parentheses.
fn from_stat(stat: &str, system: &str) -> ProcessLook {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // The first of these is the third.
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let ticks = rough(rustix::param::clock_ticks_per_second());
    let page = u32::try_from(rustix::param::page_size()).map_or(4096.0, f64::from);
    let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    ProcessLook {
        cpu_seconds: field(14).zip(field(15)).map(|(user, kernel)| (user + kernel) / ticks),
        threads: field(20),
        start_seconds: field(22).zip(boot).map(|(start, boot): (f64, f64)| boot + start / ticks),
        virtual_bytes: field(23),
        resident_bytes: field(24).map(|pages| pages * page),
        ..ProcessLook::default()
    }
}

fn rough(ticks: u64) -> f64 {
    u32::try_from(ticks).map_or(100.0, f64::from)
}

fn open_descriptors() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The one for looking is among them.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn descriptors_max(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_moves_no_field() {
        let fields: Vec<String> = (3..=30).map(|number| number.to_string()).collect();
        let stat = format!("17 (a) b (c)) {}", fields.join(" "));
        let look = from_stat(&stat, "cpu 1 2\nbtime 1000\n");
        let ticks = rough(rustix::param::clock_ticks_per_second());
        assert_eq!(look.cpu_seconds, Some(29.0 / ticks));
        assert_eq!((look.threads, look.virtual_bytes), (Some(20.0), Some(23.0)));
        assert_eq!(look.start_seconds, Some(1000.0 + 22.0 / ticks));
        assert!(from_stat("", "").cpu_seconds.is_none());
        assert_eq!(descriptors_max("x\nMax open files   1024   4096   files\n"), Some(1024.0));
        assert_eq!(descriptors_max("Max open files unlimited"), None);
    }
}
