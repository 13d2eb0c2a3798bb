//! How a database's replica is drilled.

use std::path::PathBuf;
use std::time::Duration;

use crate::value::duration;

/// A shorter interval is a mistake.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How often a restore is tried, and into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drills {
    /// How often.
    pub interval: Duration,
    /// The directory of the file that is restored into; nothing: pages are hashed alone.
    pub directory: Option<PathBuf>,
}

/// What is written of drills; nothing without an interval.
pub(crate) fn drills(
    interval: Option<&str>,
    file: Option<bool>,
    directory: Option<&str>,
) -> Result<Option<Drills>, String> {
    let Some(text) = interval else {
        return match (file, directory) {
            (None, None) => Ok(None),
            _ => Err("drill-file and drill-directory say how `drill = \"1d\"` is done".to_owned()),
        };
    };
    let interval = interval_of(text).map_err(|why| format!("drill = {why}"))?;
    let directory = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(Some(Drills { interval, directory: file.unwrap_or(true).then_some(directory) }))
}

fn interval_of(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.trim().parse::<u32>().ok());
    let interval = match days {
        Some(days) => Duration::from_secs(u64::from(days) * 24 * 3600),
        None => duration(text)?,
    };
    match interval >= INTERVAL_MIN {
        true => Ok(interval),
        false => Err(format!("\"{text}\" must be at least a second")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_a_day_or_a_duration_and_goes_into_a_file_unless_it_must_not() {
        let seconds = |text| drills(Some(text), None, None).unwrap().unwrap().interval.as_secs();
        assert_eq!(["1d", "7d", "36h", "10m"].map(seconds), [86_400, 604_800, 129_600, 600]);
        assert_eq!(drills(None, None, None), Ok(None));
        let directory =
            |file, directory| drills(Some("1d"), file, directory).unwrap().unwrap().directory;
        assert_eq!(directory(None, None), Some(std::env::temp_dir()));
        assert_eq!(directory(Some(true), Some("/big")), Some(PathBuf::from("/big")));
        assert_eq!(directory(Some(false), None), None);
        for wrong in ["0d", "0s", "-1h", "daily", "d"] {
            assert!(drills(Some(wrong), None, None).is_err(), "{wrong}");
        }
        assert!(drills(None, Some(false), None).is_err());
    }
}
