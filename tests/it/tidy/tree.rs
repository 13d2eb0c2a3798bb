//! The tree as files: which there are, what manifests and documents in it say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's directory.
pub(crate) fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.ancestors().nth(2).expect("the crate lies two directories down").to_owned()
}

/// The text of a file of ours.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Path and text of each tracked text file whose name ends so, in the order of their paths.
pub(crate) fn tracked(ending: &str) -> impl Iterator<Item = (String, String)> {
    let mut paths = listed().unwrap_or_else(|| walked(&root(), ""));
    paths.retain(|path| path.ends_with(ending));
    paths.sort();
    // What cannot be read is gone or no text.
    paths.into_iter().filter_map(|path| {
        let text = fs::read_to_string(root().join(&path)).ok()?;
        Some((path, text))
    })
}

/// What git has in its index.
fn listed() -> Option<Vec<String>> {
    let output = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

/// Everything but build products, where the tree is no clone.
fn walked(root: &Path, under: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join(under)).expect("a directory of the tree") {
        let entry = entry.expect("an entry of a directory");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
        if entry.path().is_dir() {
            if name != "target" && name != ".git" {
                paths.extend(walked(root, &path));
            }
        } else {
            paths.push(path);
        }
    }
    paths
}

/// A crate's Cargo.toml.
pub(crate) struct Manifest {
    pub(super) path: String,
    /// Where it lies: `crates/wal`.
    pub(super) directory: String,
    /// The last part of that: `wal` for `ebbtide-wal`.
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// One line of it.
pub(crate) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
    /// False for those of tests.
    pub(super) ships: bool,
}

/// The manifests of all crates that are built from this tree, but for the fuzz targets.
pub(crate) fn manifests() -> Vec<Manifest> {
    let directory = |path: &str| Some(path.strip_suffix("/Cargo.toml")?.to_owned());
    let manifests: Vec<Manifest> = tracked("/Cargo.toml")
        .filter_map(|(path, text)| {
            let directory = directory(&path).filter(|directory| directory != "fuzz")?;
            let name = directory.rsplit('/').next().expect("a directory has a name").to_owned();
            Some(Manifest { path, directory, name, dependencies: dependencies(&text) })
        })
        .collect();
    assert!(manifests.len() >= 8, "all crates are found");
    manifests
}

fn dependencies(text: &str) -> Vec<Dependency> {
    let mut dependencies = Vec::new();
    let mut section = "";
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let inside = section.ends_with("dependencies");
        let end = line.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
        let name = &line[..end.unwrap_or(0)];
        if inside && !name.is_empty() {
            let ships = !section.contains("dev-dependencies");
            dependencies.push(Dependency { name: name.to_owned(), line: index + 1, ships });
        }
    }
    dependencies
}

/// The lines of a document that are not in a fence, with their numbers.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// What `[text](target)` in a line point to.
pub(crate) fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// What is wrong with a link, if anything is. The network is not asked.
pub(crate) fn wrong_link(path: &str, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    if anchor.starts_with('L') && anchor[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Some("lines move: name the symbol");
    }
    let directory = root().join(path).parent().expect("a file lies in a directory").to_owned();
    let there = directory.join(file);
    if !file.is_empty() && !there.exists() {
        return Some("there is no such file");
    }
    let elsewhere = if file.is_empty() { None } else { fs::read_to_string(there).ok() };
    let text = elsewhere.as_deref().unwrap_or(text);
    let known = anchor.is_empty() || prose(text).any(|(_, line)| anchor_of(line) == anchor);
    (!known).then_some("there is no such heading")
}

/// The anchor that a heading gets: lower case, punctuation dropped, spaces as hyphens.
fn anchor_of(line: &str) -> String {
    let title = line.trim_start_matches('#');
    if title.len() == line.len() {
        return String::new();
    }
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
