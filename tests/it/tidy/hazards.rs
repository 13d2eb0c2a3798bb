//! docs/testing.md names a test for each hazard, or says why there is none.

use std::collections::BTreeSet;

use super::tree::{read, tracked};

/// How many hazards of each kind there are.
const HAZARDS: [(char, usize); 4] = [('A', 40), ('B', 17), ('S', 24), ('D', 18)];

/// Kinds of which not each has its row.
const REPORTED: [char; 5] = ['O', 'Z', 'R', 'H', 'T'];

/// The rows of the table: the hazard, and what is said of it.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.splitn(3, " | ");
        let (hazard, _, said) = (cells.next()?, cells.next()?, cells.next()?);
        let is_kind =
            |kind| REPORTED.contains(&kind) || HAZARDS.iter().any(|known| known.0 == kind);
        let is_hazard = hazard.starts_with(is_kind)
            && hazard.len() > 1
            && hazard[1..].bytes().all(|byte| byte.is_ascii_digit());
        is_hazard.then_some((hazard, said))
    })
}

#[test]
fn every_hazard_has_its_row() {
    let text = read("docs/testing.md");
    let listed = rows(&text).map(|(hazard, _)| hazard);
    let listed: Vec<&str> = listed.filter(|hazard| !hazard.starts_with(REPORTED)).collect();
    let expected =
        HAZARDS.iter().flat_map(|(kind, count)| (1..=*count).map(move |n| format!("{kind}{n}")));
    assert_eq!(listed, expected.collect::<Vec<String>>());
    let silent: Vec<&str> =
        rows(&text).filter(|(_, said)| said.trim().is_empty()).map(|(hazard, _)| hazard).collect();
    assert!(silent.is_empty(), "nothing is said of {silent:?}");
}

/// `s2_…` is not among what `cargo test s02` runs.
#[test]
fn names_of_tests_have_two_digits_of_a_hazard() {
    let is_short = |name: &str| {
        let mut letters = name.chars();
        let kind = letters.next().is_some_and(|first| first.is_ascii_lowercase());
        kind && letters.next().is_some_and(|digit| digit.is_ascii_digit())
            && letters.next() == Some('_')
    };
    let mut findings = Vec::new();
    for (path, source) in tracked(".rs") {
        for test in source.split("#[test]").skip(1).chain(source.split("::test]").skip(1)) {
            let name = test.split("fn ").nth(1).unwrap_or_default();
            let name = name.split('(').next().unwrap_or_default();
            if is_short(name) {
                findings.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn every_test_that_is_named_for_a_hazard_exists() {
    let text = read("docs/testing.md");
    let mut functions = BTreeSet::new();
    for (_, source) in tracked(".rs") {
        for after in source.split("fn ").skip(1) {
            let name: String =
                after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            functions.insert(name);
        }
    }
    let mut missing = Vec::new();
    for (hazard, said) in rows(&text) {
        // Names of tests have underscores and nothing else; other code in backticks has more.
        let quoted = said.split('`').skip(1).step_by(2);
        let is_name = |text: &&str| {
            text.contains('_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let names = quoted.filter(is_name).filter(|name| *name != "created_by");
        missing.extend(
            names.filter(|name| !functions.contains(*name)).map(|name| format!("{hazard}: {name}")),
        );
    }
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}
