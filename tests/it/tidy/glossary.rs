//! Words that were given up: each has a word of SQLite's, POSIX's or the field's, or one of `docs/glossary.md`, instead.

use super::none;
use super::tree::{prose, tracked};

/// Each with what to say instead.
const GIVEN_UP: &[(&str, &str)] = &[
    ("adrift", "checksum unknown"),
    ("anew", "again; of a log: restart"),
    ("barrier", "exclusive checkpoint"),
    ("copied back", "backfill, checkpoint"),
    ("copies back", "backfill, checkpoint"),
    ("copy back", "backfill, checkpoint"),
    ("copying back", "backfill, checkpoint"),
    ("cut the log", "truncate"),
    ("cuts the log", "truncate"),
    ("gauge", "status handle"),
    ("gist", "summary"),
    ("in vain", "without progress"),
    ("log is cut", "truncate"),
    ("log was cut", "truncate"),
    ("page of the locks", "lock-byte page"),
    ("processor", "CPU"),
    ("processors", "CPUs"),
    ("rebase", "resync"),
    ("rebased", "resync"),
    ("rebases", "resync"),
    ("sighted", "has events"),
    ("unsealed", "zero-header frame"),
];

/// Public names that have such a word.
const NAMES: &[&str] = &["begin_anew", "begin-anew"];

/// Where they still are. An entry that is no longer needed has to be removed.
const NOT_YET: &[&str] = &["tests/"];

/// A text of lower-case words with one space between, names taken apart, and the line of each byte.
struct Words {
    text: String,
    lines: Vec<usize>,
}

impl Words {
    fn of<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Words {
        let mut words = Words { text: " ".to_owned(), lines: vec![0] };
        for (number, line) in lines {
            let line = line.trim_start().trim_start_matches(['/', '!', '>']);
            let line = NAMES.iter().fold(line.to_lowercase(), |line, name| line.replace(name, "-"));
            for word in line.split(|c: char| c.is_whitespace() || c == '_' || c == '`') {
                // Punctuation that ends a clause stays: no phrase goes beyond it.
                let word =
                    word.trim_matches(['"', '\'', '(', ')', '*', '[', ']', '{', '}', '&', ';']);
                let (bare, end) = match word.strip_suffix([',', '.', ':']) {
                    Some(bare) => (bare, " ,"),
                    None => (word, ""),
                };
                for part in
                    [bare.trim_end_matches(')'), end].into_iter().filter(|part| !part.is_empty())
                {
                    words.text.push_str(part.trim());
                    words.text.push(' ');
                    words.lines.resize(words.text.len(), number);
                }
            }
        }
        words
    }

    /// The lines on which `phrase` begins.
    fn lines_with(&self, phrase: &str) -> impl Iterator<Item = usize> {
        let phrase = format!(" {phrase} ");
        let found: Vec<usize> = self.text.match_indices(&phrase).map(|(at, _)| at + 1).collect();
        found.into_iter().map(|at| self.lines[at])
    }
}

/// A line of a document without what is between backticks, which names what there is.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" - ")
}

/// What is said in this file that should not be, as `file:line: word: instead`.
fn findings(path: &str, text: &str) -> Vec<String> {
    let words = match path.ends_with(".md") {
        true => {
            let lines: Vec<(usize, String)> =
                prose(text).map(|(number, line)| (number, without_code(line))).collect();
            Words::of(lines.iter().map(|(number, line)| (*number, line.as_str())))
        }
        false => Words::of((1..).zip(text.lines())),
    };
    let mut findings = Vec::new();
    for (phrase, instead) in GIVEN_UP {
        let found = words.lines_with(phrase);
        findings.extend(found.map(|line| format!("{path}:{line}: {phrase}: say {instead}")));
    }
    findings
}

#[test]
fn words_that_were_given_up_stay_away() {
    let mut found = Vec::new();
    let mut not_yet: Vec<&str> = NOT_YET.to_vec();
    let files = tracked(".rs").chain(tracked(".md"));
    for (path, text) in files.filter(|(path, _)| !path.ends_with("tidy/glossary.rs")) {
        let findings = findings(&path, &text);
        match NOT_YET.iter().find(|under| path.starts_with(**under)) {
            Some(under) if !findings.is_empty() => not_yet.retain(|entry| entry != under),
            Some(_) => {}
            None => found.extend(findings),
        }
    }
    found.extend(
        not_yet
            .iter()
            .map(|under| format!("{under}: no such word any more: take it out of NOT_YET")),
    );
    none(&found);
}

#[test]
fn words_are_found_across_lines_and_in_names() {
    let text = "/// The log was copied\n/// back, (anew).\nfn take_gauge() {}\n// begin_anew\n";
    let found = findings("a.rs", text);
    assert_eq!(
        found,
        [
            "a.rs:2: anew: say again; of a log: restart",
            "a.rs:1: copied back: say backfill, checkpoint",
            "a.rs:3: gauge: say status handle",
        ]
    );
    assert_eq!(findings("a.md", "It is rebased.\n```\nanew\n```\n`--begin-anew`\n").len(), 1);
}
