//! Whether commands print what a page shows: the same words in the same order. Numbers, times, sizes and ids are others
//! each time, and `…` in a page stands for whatever is there.

use std::fs;

/// What everybody may see of what was printed: no directory and no name of this machine.
pub(super) fn tidied(printed: &str, directory: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let printed = printed.replace(directory, "/srv/shop");
    let printed = match host.trim() {
        "" => printed,
        host => printed.replace(&format!(" on {host}"), " on host"),
    };
    printed.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Whether a page that shows this is right about what was printed.
pub(super) fn is_as_shown(shown: &str, printed: &str) -> bool {
    let shown: Vec<String> = shown.lines().map(shape).collect();
    let printed: Vec<String> = printed.lines().map(shape).collect();
    lines_match(&shown, &printed)
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((line, rest)) => {
            printed.first().is_some_and(|first| words_match(line, first))
                && lines_match(rest, &printed[1..])
        }
    }
}

/// Whether a line is as shown, where `…` is any text.
fn words_match(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((before, after)) => printed.strip_prefix(before.trim_end()).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            let after = after.trim_start();
            starts.into_iter().any(|at| words_match(after, rest[at..].trim_start()))
        }),
    }
}

/// A line with every number, time, size and id as `0`.
fn shape(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit = ["B", "KiB", "MiB", "GiB", "µs", "ms", "s", "m", "h"].contains(&bare(word));
        match words.last() {
            Some(before) if is_unit && before.ends_with('0') => {
                let unit = word.replace(bare(word), "u");
                words.push(unit);
            }
            _ => words.push(numbers(word)),
        }
    }
    words.join(" ")
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// A word with what is a number or an id in it as `0`, whatever its digits.
fn numbers(word: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut shape = String::new();
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| is_part(c) != is_part(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(length);
        let is_id = part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        match part {
            "." | "," | ":" if shape.ends_with('0') && after.starts_with(is_digit) => {}
            _ if is_id || MONTHS.contains(&part) => push_number(&mut shape),
            _ => part.chars().for_each(|c| match is_digit(c) {
                true => push_number(&mut shape),
                false => shape.push(c),
            }),
        }
        rest = after;
    }
    shape
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn push_number(shape: &mut String) {
    if !shape.ends_with('0') {
        shape.push('0');
    }
}

#[test]
fn numbers_may_differ_and_words_may_not() {
    let same = |shown, printed| is_as_shown(shown, printed);
    assert!(same(
        "restored a.db (8.00 KiB) to txid 3",
        "restored a.db (12 B)   to txid 00000000000000ff"
    ));
    assert!(same("at 2026-11-29T03:03:24.06Z (0.5 s)", "at 2027-01-01T00:00:00.123456Z (12 ms)"));
    assert!(same("a\n…\nb 1", "a\nx\ny\nb 2") && same("a … c", "a b b c") && same("a…", "abc"));
    assert!(
        !same("4 → 1", "4 → 1\nmore") && !same("orders -3", "notes -3") && !same("a … c", "a b")
    );
    assert_eq!(tidied("x /tmp/d/a.db  \n", "/tmp/d"), "x /srv/shop/a.db");
}
