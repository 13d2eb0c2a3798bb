//! Times, sizes and numbers as people read them.

use std::fmt::Write as _;

use ebbtide_replica::{Timestamp, Txid};

/// A time to the millisecond, in UTC.
pub(super) fn utc(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('Z');
    let (seconds, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    format!("{date} {seconds}.{millis} UTC")
}

/// A txid as short as it is typed.
pub(super) fn short(txid: Txid) -> String {
    format!("{:x}", txid.get())
}

/// A size.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10).max(1);
            match tenths {
                0..100 => format!("{}.{} {name}", tenths / 10, tenths % 10),
                _ => format!("{} {name}", bytes / unit),
            }
        }
    }
}

/// A number with a space between its thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something.
pub(super) fn number_of(count: u64, one: &str) -> String {
    let mut text = number(count);
    write!(text, " {one}{}", if count == 1 { "" } else { "s" }).unwrap_or_default();
    text
}

/// How many of `all`, which are so many of something, need attention, if any does.
pub(super) fn attention_of(needing: usize, all: &str) -> Option<String> {
    match needing {
        0 => None,
        1 => Some(format!("1 of {all} needs attention")),
        _ => Some(format!("{needing} of {all} need attention")),
    }
}

/// A word of a shell that stands for this text.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=+@%,".contains(c);
    match !text.is_empty() && !text.starts_with(['-', '=']) && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_it_at_a_glance() {
        assert_eq!(
            [17, 1536, 10 << 20, 5 << 30].map(bytes),
            ["17 B", "1.5 KiB", "10 MiB", "5.0 GiB"]
        );
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((number_of(1, "gap"), number_of(0, "gap")), ("1 gap".into(), "0 gaps".into()));
        let time = "2026-11-28T22:43:58.123456Z".parse().unwrap();
        assert_eq!(utc(time), "2026-11-28 22:43:58.123 UTC");
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        assert_eq!(quoted("s3://b/app"), "s3://b/app");
        assert_eq!(quoted("s3://b/app?endpoint=x&y"), "'s3://b/app?endpoint=x&y'");
        assert_eq!(quoted("it's; rm -rf $HOME"), "'it'\\''s; rm -rf $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("-x"), "'-x'");
    }
}
