//! What documents say of the code, compared with the code: names that a document gives a place to, and numbers.

use super::none;
use super::tree::{read, root, tracked};

/// The text of `[text](target)` in a line, with its target.
fn links_with_text(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('[').skip(1).filter_map(|rest| {
        let (text, rest) = rest.split_once("](")?;
        Some((text, rest.split([')', ' ']).next()?))
    })
}

/// Whether `name` stands in `text` as a word.
fn has_word(text: &str, name: &str) -> bool {
    super::rust::words(text).any(|word| word == name)
}

/// A link from a name to a file of Rust says that the name is in that file: `` [`Shipper::seal`](…/shipper.rs) ``. Catches a
/// document that sends its reader to a function that was renamed or moved.
#[test]
fn names_that_link_to_a_file_are_in_that_file() {
    let mut findings = Vec::new();
    for (path, text) in tracked(".md") {
        let directory = root().join(&path).parent().expect("a file lies in a directory").to_owned();
        for (index, line) in text.lines().enumerate() {
            for (name, target) in links_with_text(line) {
                let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
                else {
                    continue;
                };
                let Ok(code) = std::fs::read_to_string(directory.join(target)) else { continue };
                if !target.ends_with(".rs") || name.contains('/') || name.ends_with(".rs") {
                    continue;
                }
                for part in name.split("::") {
                    if !has_word(&code, part) {
                        findings.push(format!("{path}:{}: {target} has no {part}", index + 1));
                    }
                }
            }
        }
    }
    none(&findings);
}

/// Catches a document that names a file which was moved.
#[test]
fn files_that_documents_name_are_there() {
    let is_path = |word: &&str| {
        let begins =
            ["crates/", "tests/", "docs/", "examples/"].iter().any(|top| word.starts_with(top));
        begins && !word.contains(['*', '{', ' ', '…', '<'])
    };
    let mut findings = Vec::new();
    for (path, text) in tracked(".md").filter(|(path, _)| !path.starts_with("docs/decisions/")) {
        for (index, line) in text.lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2).filter(is_path) {
                if !root().join(word).exists() {
                    findings.push(format!("{path}:{}: there is no {word}", index + 1));
                }
            }
        }
    }
    none(&findings);
}

/// The digits of the number before `unit` in the first line that has `marker`.
fn number_before(text: &str, marker: &str, unit: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(marker))?;
    let before = line.split(unit).next()?;
    let word = before.split_whitespace().next_back()?;
    word.replace(',', "").parse().ok()
}

/// The number of frames from which on writers are stopped was once changed in the code alone.
#[test]
fn operations_says_when_writers_are_stopped() {
    let defaults = read("crates/config/src/defaults.rs");
    let frames = defaults
        .lines()
        .find_map(|line| {
            line.strip_prefix("pub const CHECKPOINT_FRAMES: u32 = ")?.strip_suffix(';')
        })
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a default for checkpoint-frames");
    let parts = read("crates/sidecar/src/follow/parts.rs");
    assert!(
        parts.contains("database.checkpoint_frames.saturating_mul(5) / 2"),
        "the factor is 2.5"
    );
    let operations = read("docs/operations.md");
    let keys = read("docs/reference/configuration.md");
    assert!(keys.contains("at two and a half times as many"), "of the key checkpoint-frames");
    let said = number_before(&operations, "it takes the write lock whenever", " frames");
    assert_eq!(said, Some(frames * 5 / 2), "docs/operations.md: whenever the log has … frames");
    let default = keys.lines().find(|line| line.starts_with("| `checkpoint-frames` |"));
    assert!(default.is_some_and(|row| row.ends_with(&format!("`{frames}` |"))), "{default:?}");
}

/// Catches a limit that was changed in the code alone.
#[test]
fn limits_are_those_of_the_code() {
    let mut findings = Vec::new();
    let mut rows = 0;
    for (index, line) in read("docs/limits.md").lines().enumerate() {
        let Some(row) = line.strip_prefix("| [`") else { continue };
        let cells = row.split_once("`](../").and_then(|(name, rest)| {
            let (path, rest) = rest.split_once(") | `")?;
            Some((name, path, rest.split_once('`')?.0))
        });
        let Some((name, path, value)) = cells else {
            findings.push(format!("docs/limits.md:{}: not a row as the others", index + 1));
            continue;
        };
        rows += 1;
        let code = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        let is_it = |line: &str| {
            let (_, constant) = line.split_once(&format!("const {name}: "))?;
            Some(constant.split_once(" = ")?.1 == format!("{value};"))
        };
        if !code.lines().any(|line| is_it(line) == Some(true)) {
            findings.push(format!("docs/limits.md:{}: {path} has no {name} = {value}", index + 1));
        }
    }
    assert!(rows >= 40, "{rows} limits are documented");
    none(&findings);
}

/// Who meets a word that is ours finds the glossary from the crate's own page.
#[test]
fn crates_lead_to_the_glossary() {
    let is_root = |path: &str| path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    let without = tracked(".rs")
        .filter(|(path, text)| is_root(path) && !text.contains("`docs/glossary.md`"))
        .map(|(path, _)| format!("{path}:1: no word of docs/glossary.md"));
    none(&without.collect::<Vec<_>>());
}

/// Catches an example for writers of tests that does not compile any more.
#[test]
fn the_example_of_a_test_is_a_test() {
    let test = read("tests/it/first.rs");
    let document = read("tests/it/README.md");
    let mut shown = 0;
    for block in document.split("```rust").skip(1).filter_map(|rest| rest.split("```").next()) {
        for line in block.lines().filter(|line| !line.is_empty()) {
            assert!(test.contains(line), "tests/it/first.rs has no {line}");
            shown += 1;
        }
    }
    assert!(shown >= 5, "{shown} lines are shown");
}
