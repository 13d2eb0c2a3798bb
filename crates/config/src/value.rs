//! Durations and sizes as people write them.

use std::time::Duration;

/// A span of time such as "30s", "10m" or "24h".
///
/// # Errors
/// With the ways in which it can be written.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed.and_then(|duration| duration.try_into().ok()).ok_or_else(|| {
        format!("\"{text}\" is no duration: write for example \"30s\", \"10m\" or \"24h\"")
    })
}

/// A size such as "256 MiB" or "2GB", in bytes; not 0.
///
/// # Errors
/// With the ways in which it can be written.
pub fn size(text: &str) -> Result<u64, String> {
    let size = parse(text).filter(|&size| size > 0);
    size.ok_or_else(|| format!("\"{text}\" is no size: write for example \"500 kB\" or \"5 MiB\""))
}

/// The size of a key of the configuration, in bytes.
pub(crate) fn bytes(key: &str, text: &str, least: u64) -> Result<u64, String> {
    match parse(text) {
        Some(size) if size >= least => Ok(size),
        Some(_) => Err(format!("{key} = \"{text}\" must be at least {} MiB", least >> 20)),
        None => Err(format!(
            "{key} = \"{text}\" is no size: write for example \"256 MiB\", \"2GB\" or \"0\""
        )),
    }
}

fn parse(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("", 1),
    ];
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, factor)| factor);
    number.parse::<u64>().ok()?.checked_mul(factor?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("k", "256 MiB", 0), Ok(256 << 20));
        assert_eq!(bytes("k", "2GB", 0), Ok(2_000_000_000));
        assert_eq!(bytes("k", "17", 0), Ok(17));
        assert!(bytes("k", "99999999999 TiB", 0).is_err());
        assert!(bytes("k", "-1", 0).is_err());
        assert_eq!((size("5 MiB"), size("0").is_err()), (Ok(5 << 20), true));
    }
}
