//! Each file belongs to something that is built: one that no other names is never compiled, and its tests never run.

use std::collections::BTreeMap;

use super::none;
use super::tree::tracked;

/// Files that cargo finds by itself, or that a manifest names.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let [.., directory, file] = parts[..] else { return true };
    let is_target = matches!(directory, "tests" | "benches" | "examples" | "fuzz_targets" | "bin");
    matches!(file, "main.rs" | "lib.rs" | "build.rs") || is_target
}

/// The files one of which has to name the module of `path`, and the module's name.
fn parents(path: &str) -> (Vec<String>, &str) {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let (directory, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let beside = ["main", "lib", "mod"].map(|file| format!("{directory}/{file}.rs"));
    let above = format!("{directory}.rs");
    (beside.into_iter().chain([above]).collect(), name)
}

#[test]
fn every_file_is_a_module_of_another() {
    let files: BTreeMap<String, String> = tracked(".rs").collect();
    let is_named = |path: &str| {
        let (parents, name) = parents(path);
        let declared = format!("mod {name};");
        parents.iter().filter_map(|parent| files.get(parent)).any(|text| {
            text.lines()
                .any(|line| line.trim_start().trim_start_matches("pub ").contains(&declared))
        })
    };
    let lost = files.keys().filter(|path| !is_root(path) && !is_named(path));
    let findings: Vec<String> =
        lost.map(|path| format!("{path}:1: no file has it as a module")).collect();
    none(&findings);
}

#[test]
fn a_module_is_named_beside_it_or_above() {
    let (files, name) = parents("tests/it/kill/place.rs");
    assert_eq!(name, "place");
    assert!(files.contains(&"tests/it/kill.rs".to_owned()), "{files:?}");
    let (files, name) = parents("crates/store/src/s3/mod.rs");
    assert_eq!((files[1].as_str(), name), ("crates/store/src/lib.rs", "s3"));
    assert!(is_root("crates/copy/src/lib.rs") && is_root("crates/watcher/tests/follow.rs"));
    assert!(!is_root("tests/it/copy.rs"));
}
