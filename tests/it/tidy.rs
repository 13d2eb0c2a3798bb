//! What a machine can check of docs/architecture.md and CONTRIBUTING.md, beyond what lints do.
//!
//! Each rule is a test that collects what breaks it as `file:line: what`, so that one run shows all of it.

mod circles;
mod documents;
mod glossary;
mod hazards;
mod modules;
mod picture;
mod rust;
pub(crate) mod tree;

use rust::Source;
use tree::{manifests, root, tracked};

/// Where `unsafe` may be: calls that rusqlite does not wrap.
const UNSAFE_ALLOWED: &[&str] = &[
    "crates/cli/src/memory.rs",
    "crates/sql/src/vfs.rs",
    "crates/watcher/src/sqlite_file.rs",
    "crates/watcher/src/vfs.rs",
    "tests/wal-reset/src/stall.rs",
];
/// Where directories are made: a disk that is not mounted must not get new ones in its place.
const DIRECTORIES_MADE: &[&str] = &[
    "crates/sidecar/src/control/directory.rs",
    "crates/cli/src/application/foreground.rs",
    "crates/cli/src/passphrase.rs",
    "crates/cli/src/replicate/empty_disk.rs",
    "crates/directory/src/open.rs",
    "crates/directory/src/private.rs",
    "crates/store/src/directory/root.rs",
    "examples/quickstart.rs",
    "examples/tenants.rs",
];
/// Where files are opened by their path: nowhere else is thought of links, pipes and who may have put them there.
const FILES_OPENED: &[&str] = &[
    "crates/cli/src/application/foreground.rs",
    "crates/cli/src/passphrase.rs",
    "crates/directory/src/open.rs",
    "crates/directory/src/peek.rs",
    "crates/keys/src/files.rs",
    "crates/restore/src/occupied.rs",
    "crates/rows/benches/files.rs",
    "crates/watcher/src/database_lock.rs",
    "crates/watcher/src/files.rs",
    "crates/watcher/src/shm.rs",
    "examples/quickstart.rs",
];
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
/// Of all files of the reader in Python together, and of one of its lines.
const READER_LINES_MAX: usize = 200;
const READER_COLUMNS_MAX: usize = 120;

/// Packages that crates must not use in what ships. Which crates of ours they may use is a table of docs/architecture.md.
const PACKAGES_FORBIDDEN: &[(&str, &[&str])] = &[
    ("directory", &["tokio", "rusqlite"]),
    ("seal", &["tokio", "nix", "rustix", "rusqlite", "aws-sdk-s3"]),
    ("replica", &["tokio", "nix", "rustix", "rusqlite", "aws-sdk-s3"]),
    ("store", &["rusqlite", "notify"]),
    ("state", &["tokio", "rusqlite"]),
    ("catalog", &["rusqlite", "notify", "aws-sdk-s3"]),
    ("moment", &["rusqlite", "notify", "aws-sdk-s3", "clap"]),
    ("sql", &["notify", "aws-sdk-s3", "clap"]),
    ("watcher", &["tokio", "clap"]),
    ("shipper", &["rusqlite", "notify", "aws-sdk-s3", "clap"]),
    ("rows", &["tokio", "clap", "nix"]),
    ("export", &["tokio", "clap", "nix"]),
    ("config", &["rusqlite", "notify", "aws-sdk-s3", "clap"]),
    ("sidecar", &["clap", "indicatif", "tracing-subscriber"]),
    ("restore", &["rusqlite", "notify", "aws-sdk-s3", "clap"]),
    ("copy", &["rusqlite", "notify", "aws-sdk-s3", "clap"]),
    ("retention", &["rusqlite", "notify", "aws-sdk-s3"]),
];

/// The packages that ebbtide is built on by request.
const NAMED: &[&str] =
    &["tokio", "rusqlite", "notify", "aws-sdk-s3", "lz4_flex", "crc32fast", "serde_json", "clap"];

const DECISION_HEADINGS: &[&str] = &["## Context", "## Decision", "## Rejected", "## Consequences"];

#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn sources() -> impl Iterator<Item = Source> {
    tracked(".rs").map(|(path, text)| Source::new(path, &text))
}

/// The line breaks `rule` in code that ships.
fn lines_of_code(rule: &str, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        for (number, line) in source.shipped_lines() {
            if breaks(line) {
                findings.push(format!("{}:{number}: {rule}", source.path));
            }
        }
    }
    findings
}

#[test]
fn every_rust_file_begins_by_saying_what_it_is() {
    let silent = tracked(".rs").filter(|(_, text)| !text.starts_with("//! "));
    none(&silent.map(|(path, _)| format!("{path}:1: no //! at the beginning")).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    let mut findings = Vec::new();
    for source in sources().filter(|source| !UNSAFE_ALLOWED.contains(&source.path.as_str())) {
        for (number, line) in source.lines() {
            if rust::words(line).any(|word| word == "unsafe") {
                findings.push(format!("{}:{number}: unsafe", source.path));
            }
        }
    }
    none(&findings);
}

/// The lines with one of these words in code that ships, but for the files in which it may be.
fn lines_with(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        if allowed.contains(&source.path.as_str()) || source.path.starts_with("tests/") {
            continue;
        }
        for (number, line) in source.shipped_lines() {
            if let Some(word) = rust::words(line).find(|word| words.contains(word)) {
                findings.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    findings
}

#[test]
fn directories_are_made_only_where_something_begins() {
    let words = ["create_dir", "create_dir_all", "DirBuilder", "mkdir", "mkdirat"];
    none(&lines_with(&words, DIRECTORIES_MADE));
}

#[test]
fn files_are_opened_only_where_nobody_is_waited_for() {
    none(&lines_with(&["OpenOptions"], FILES_OPENED));
    let mut findings = Vec::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        let allowed = FILES_OPENED.contains(&source.path.as_str());
        for (number, line) in source.shipped_lines().filter(|_| !allowed) {
            if line.contains("File::open(") || line.contains("fs::read(") {
                findings.push(format!("{}:{number}: use ebbtide_directory", source.path));
            }
        }
    }
    none(&findings);
}

#[test]
fn no_result_is_thrown_away() {
    none(&lines_of_code("let _ = throws a result away", |line| line.contains("let _ =")));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    none(&lines_of_code("unwrap", |line| line.contains(".unwrap()")));
}

/// SQLite reads a name that begins with `file:` as a URI: what it opens goes by one of these, who see to it that none does
/// that should not.
#[test]
fn databases_are_opened_as_paths() {
    let allowed = [
        "crates/watcher/src/connection.rs",
        "crates/cli/src/integrity.rs",
        "crates/cli/src/database_file.rs",
        "crates/cli/src/commands/undo.rs",
        "crates/rows/src/diff/defaults.rs",
        "crates/rows/benches/files.rs",
        "crates/sql/src/past.rs",
    ];
    let opens = |line: &str| {
        [
            "Sqlite::open",
            "Connection::open_with_flags",
            "rusqlite::Connection::open",
            "SQLITE_OPEN_URI",
        ]
        .iter()
        .any(|call| line.contains(call))
    };
    let findings = lines_of_code("a database is opened by its name", opens);
    let examples = |finding: &String| {
        finding.starts_with("examples/")
            || finding.starts_with("tests/")
            || finding.contains("/benches/")
    };
    let elsewhere = |finding: &String| !allowed.iter().any(|path| finding.starts_with(path));
    let findings: Vec<String> =
        findings.into_iter().filter(|finding| elsewhere(finding) && !examples(finding)).collect();
    none(&findings);
}

/// Their macros panic when an output is closed or full: exit code 101, and a database that is not followed any more.
/// What writes results is `crates/cli/src/output.rs`, what writes logs is `crates/cli/src/log_writer.rs`.
#[test]
fn o38_nothing_that_ships_panics_because_an_output_is_gone() {
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    let prints = |line: &str| {
        let words: Vec<&str> = rust::words(line).collect();
        macros.iter().any(|name| words.contains(name) && line.contains(&format!("{name}!")))
    };
    let mut findings = lines_of_code("panics when its output is gone", prints);
    // Its places are empty in what ships, and a benchmark does not ship.
    findings
        .retain(|finding| !finding.starts_with("crates/fault/") && !finding.contains("/benches/"));
    none(&findings);
}

#[test]
fn functions_fit_a_screen() {
    let mut findings = Vec::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        for function in source.functions().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            let rust::Function { name, line, lines } = function;
            findings.push(format!("{}:{line}: {name} has {lines} lines", source.path));
        }
    }
    none(&findings);
}

#[test]
fn files_are_about_one_thing() {
    let mut findings = Vec::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        let lines = source.shipped_lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}:{lines}: {lines} lines outside tests", source.path));
        }
    }
    none(&findings);
}

/// The format stays one that somebody can read by himself: the reader in Python is counted whole, and not made short by
/// lines that nobody reads.
#[test]
fn the_second_reader_is_read_in_one_sitting() {
    let files: Vec<_> =
        tracked(".py").filter(|(path, _)| path.starts_with("examples/reader/")).collect();
    let mut findings = Vec::new();
    for (path, text) in &files {
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(';') || line.chars().count() > READER_COLUMNS_MAX {
                findings.push(format!("{path}:{number}: two statements, or too long a line"));
            }
        }
    }
    let lines: usize = files.iter().map(|(_, text)| text.lines().count()).sum();
    if !(1..=READER_LINES_MAX).contains(&lines) {
        findings.push(format!("examples/reader: {lines} lines, of {READER_LINES_MAX}"));
    }
    none(&findings);
}

/// A type of this name that begins at the outermost level of a file.
fn defined_type(line: &str) -> Option<&str> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let before = ["pub", "crate", "super", "in", "unsafe"];
    let mut words = rust::words(line).skip_while(|word| before.contains(word));
    let keyword = words.next()?;
    let is_type = ["struct", "enum", "trait", "type", "union"].contains(&keyword);
    words.next().filter(|_| is_type)
}

/// Two types of one name within a crate are confused by readers, in searches and in the output of `Debug`.
#[test]
fn type_names_are_unique_within_a_crate() {
    let mut findings = Vec::new();
    let mut first = std::collections::BTreeMap::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        let Some((name, _)) = source.path.split_once("/src/") else { continue };
        for (number, line) in source.shipped_lines() {
            let Some(defined) = defined_type(line) else { continue };
            let place = format!("{}:{number}", source.path);
            let key = (name.to_owned(), defined.to_owned());
            if let Some(there) = first.insert(key, place.clone()) {
                findings.push(format!("{place}: {defined} is also defined in {there}"));
            }
        }
    }
    assert!(first.len() > 100, "{} types are defined", first.len());
    none(&findings);
}

/// What each crate may use of ours, and in tests besides, as the table of docs/architecture.md has it.
fn arrows() -> std::collections::BTreeMap<String, [Vec<String>; 2]> {
    let names = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let document = tree::read("docs/architecture.md");
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').collect();
        let [name, _, may_use, _, _] = cells[..] else { return None };
        let (ships, tests) = may_use.split_once("in tests").unwrap_or((may_use, ""));
        Some((name.trim_matches([' ', '`']).to_owned(), [names(ships), names(tests)]))
    });
    rows.collect()
}

/// The table is all there is: what is not in it must not be used, and what is in it is used.
#[test]
fn crates_use_those_that_the_table_of_the_architecture_allows() {
    let arrows = arrows();
    let mut findings = Vec::new();
    for manifest in manifests().iter().filter(|manifest| manifest.path.starts_with("crates/")) {
        let Some([ships, tests]) = arrows.get(&manifest.name) else {
            findings.push(format!("docs/architecture.md:1: no row for {}", manifest.name));
            continue;
        };
        let uses = |name: &String, ships: bool| {
            manifest.dependencies.iter().any(|dependency| {
                let ours = dependency.name.strip_prefix("ebbtide-");
                dependency.ships == ships && ours == Some(name.as_str())
            })
        };
        for dependency in &manifest.dependencies {
            let Some(ours) = dependency.name.strip_prefix("ebbtide-") else { continue };
            let is_listed = |list: &[String]| list.iter().any(|name| name == ours);
            if !is_listed(ships) && (dependency.ships || !is_listed(tests)) {
                let place = format!("{}:{}", manifest.path, dependency.line);
                findings.push(format!("{place}: {} must not use {ours}", manifest.name));
            }
        }
        let unused = ships.iter().filter(|name| !uses(name, true));
        let unused = unused.chain(tests.iter().filter(|name| !uses(name, false)));
        findings.extend(
            unused.map(|name| {
                format!("docs/architecture.md:1: {} does not use {name}", manifest.name)
            }),
        );
    }
    assert!(arrows.len() > 12, "{} crates have a row", arrows.len());
    none(&findings);
}

#[test]
fn crates_use_no_package_that_they_must_not_know() {
    let mut findings = Vec::new();
    for manifest in manifests() {
        let forbidden = PACKAGES_FORBIDDEN.iter().find(|(name, _)| *name == manifest.name);
        for dependency in manifest.dependencies.iter().filter(|dependency| dependency.ships) {
            let name = dependency.name.as_str();
            let is_any_forbidden = matches!(manifest.name.as_str(), "wal" | "fault");
            if is_any_forbidden || forbidden.is_some_and(|(_, names)| names.contains(&name)) {
                let place = format!("{}:{}", manifest.path, dependency.line);
                findings.push(format!("{place}: {} must not use {name}", manifest.name));
            }
        }
    }
    none(&findings);
}

#[test]
fn every_dependency_says_what_it_saves_us() {
    let text = tree::read("Cargo.toml");
    let mut findings = Vec::new();
    let mut before = "";
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let said = before.starts_with("# ") && before.ends_with(['.', '…']);
            if !said && !line.starts_with("ebbtide") {
                findings.push(format!("Cargo.toml:{}: no sentence above: {line}", index + 1));
            }
        }
        before = line;
    }
    none(&findings);
}

#[test]
fn every_dependency_is_used() {
    let mut findings = Vec::new();
    for manifest in manifests() {
        let own = format!("{}/", manifest.directory);
        let of_crate = |path: &str| {
            // These tests are built with the binary that they are about.
            path.starts_with(&own) || (manifest.name == "cli" && path.starts_with("tests/"))
        };
        let texts: Vec<String> =
            tracked(".rs").filter(|(path, _)| of_crate(path)).map(|(_, text)| text).collect();
        for dependency in &manifest.dependencies {
            let name = dependency.name.replace('-', "_");
            let used = texts.iter().any(|text| rust::words(text).any(|word| word == name));
            if !used {
                let place = format!("{}:{}", manifest.path, dependency.line);
                findings.push(format!("{place}: {} is not used", dependency.name));
            }
        }
    }
    none(&findings);
}

#[test]
fn the_packages_that_were_asked_for_do_the_work() {
    let mut findings = Vec::new();
    for package in NAMED {
        let name = package.replace('-', "_");
        let ships = |source: Source| {
            !source.only_for_tests()
                && source
                    .shipped_lines()
                    .any(|(_, line)| rust::words(line).any(|word| word == name))
        };
        if !sources().any(ships) {
            findings.push(format!("Cargo.toml:1: no crate uses {package}"));
        }
    }
    none(&findings);
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let paths = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let mut findings = Vec::new();
    for (path, text) in tracked("") {
        for (index, line) in text.lines().enumerate() {
            if paths.iter().any(|part| line.contains(part)) {
                findings.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    none(&findings);
}

#[test]
fn documents_have_no_trailing_whitespace() {
    let mut findings = Vec::new();
    for (path, text) in tracked(".md") {
        for (index, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                findings.push(format!("{path}:{}: whitespace at the end", index + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in tracked(".md") {
        for (index, line) in tree::prose(&text) {
            for target in tree::links(line) {
                if let Some(wrong) = tree::wrong_link(&path, &text, target) {
                    findings.push(format!("{path}:{index}: {target}: {wrong}"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn decisions_are_numbered_listed_and_whole() {
    let index = tree::read("docs/decisions/README.md");
    let mut findings = Vec::new();
    let mut expected = 1;
    let records = tracked(".md")
        .filter(|(path, _)| path.starts_with("docs/decisions/") && !path.ends_with("README.md"));
    for (path, text) in records {
        let name = path.trim_start_matches("docs/decisions/");
        let number = name.split('-').next().and_then(|digits| digits.parse::<u32>().ok());
        match number {
            Some(0) => continue,
            Some(number) if number == expected => expected += 1,
            _ => findings.push(format!("{path}:1: expected number {expected:04}")),
        }
        if !index.contains(&format!("({name})")) {
            findings.push(format!("{path}:1: not in docs/decisions/README.md"));
        }
        let missing = DECISION_HEADINGS.iter().filter(|heading| !text.contains(**heading));
        findings.extend(missing.map(|heading| format!("{path}:1: no {heading}")));
    }
    none(&findings);
}

#[test]
fn this_is_the_root_of_the_tree() {
    assert!(root().join("Cargo.lock").exists(), "{} is not the workspace", root().display());
}
