//! Circles of files: within a crate no file names what another one has, if that one names, directly or through others,
//! what the first has. Who reads one file of a circle has to read all of them.
//!
//! A re-export names nothing for itself: a path through a `mod.rs` leads to the file that defines the item. So a module
//! and its submodules need no exception: a `mod.rs` that only re-exports has no edges, and one that uses its submodules
//! must not be used by them.
//! Tests do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{Source, words};
use super::{none, sources};

/// The circles that are still there, each a crate with its files. A file that is in none any more has to be taken out.
const CIRCLES_LEFT: &[(&str, &[&str])] = &[];

/// What one `use` declaration, or one path in the code, names: segments from the crate's root on.
type Path = Vec<String>;

/// A file of a crate.
struct File {
    /// From the crate's `src` on, without `.rs` and `/mod`.
    name: String,
    imports: Vec<Import>,
    /// The code without `use` declarations.
    body: String,
}

struct Import {
    alias: String,
    path: Path,
    is_glob: bool,
    is_public: bool,
}

/// The files of a crate, by their modules.
struct Crate(BTreeMap<Path, File>);

/// Who names whom, and what.
type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn path_of(name: &str) -> Path {
    let inner = name.strip_suffix("/mod").unwrap_or(name);
    if matches!(inner, "lib" | "main") {
        return Vec::new();
    }
    inner.split('/').map(str::to_owned).collect()
}

impl File {
    fn new(name: &str, module: &Path, source: &Source) -> File {
        let code: String =
            source.shipped_lines().flat_map(|(_, line)| [line, "\n"]).collect::<String>();
        let (mut imports, mut body) = (Vec::new(), String::new());
        let mut rest = code.as_str();
        while let Some(start) = use_declaration(rest) {
            let (before, declaration) = rest.split_at(start);
            let end = declaration.find(';').unwrap_or(declaration.len());
            body.push_str(before);
            let tree: String = declaration["use ".len()..end].split_whitespace().fold(
                String::new(),
                |tree, part| {
                    let gap = if part == "as" || tree.ends_with("as") { " " } else { "" };
                    tree + gap + part
                },
            );
            let first = imports.len();
            expand(&tree, &[], &mut imports);
            let is_public = before.trim_end_matches(' ').ends_with(['b', ')']);
            imports[first..].iter_mut().for_each(|import| import.is_public = is_public);
            rest = &declaration[end..];
        }
        body.push_str(rest);
        for import in &mut imports {
            import.path = absolute(module, &import.path);
        }
        File { name: name.to_owned(), imports, body }
    }

    fn uses(&self, name: &str) -> bool {
        words(&self.body).any(|word| word == name)
    }
}

/// Where the next `use` declaration begins.
fn use_declaration(code: &str) -> Option<usize> {
    let is_start = |&(at, _): &(usize, &str)| {
        let before = code[..at].trim_end_matches(' ');
        before.is_empty() || before.ends_with(['\n', ';', '{', '}', ')']) || before.ends_with("pub")
    };
    code.match_indices("use ").find(is_start).map(|(at, _)| at)
}

/// The single imports of `a::{b, c as d, e::*}`.
fn expand(tree: &str, before: &[String], imports: &mut Vec<Import>) {
    if let Some((head, group)) = tree.split_once('{') {
        let prefix: Path = before.iter().cloned().chain(segments(head)).collect();
        let group = group.strip_suffix('}').unwrap_or(group);
        let (mut depth, mut start) = (0_u32, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    if start < at {
                        expand(&group[start..at], &prefix, imports);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path: Path = before.iter().cloned().chain(segments(path)).collect();
    let is_glob = path.last().is_some_and(|last| last == "*");
    if is_glob || path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let last = path.last().cloned().unwrap_or_default();
    let alias = if alias.is_empty() { last } else { alias.to_owned() };
    imports.push(Import { alias, path, is_glob, is_public: false });
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}

/// A path as it is written in `module`, from the crate's root on, whose name it then lacks; other crates' stay as they are.
fn absolute(module: &Path, path: &[String]) -> Path {
    let mut from = module.clone();
    let mut rest = path;
    let mut is_ours = false;
    while let Some((first, later)) = rest.split_first() {
        match first.as_str() {
            "crate" => from.clear(),
            "super" => {
                from.pop();
            }
            "self" => {}
            _ => break,
        }
        (rest, is_ours) = (later, true);
    }
    if is_ours {
        from.extend_from_slice(rest);
        return from;
    }
    // A child of the module, or another crate.
    let marked = path.first().map(|first| format!("?{first}"));
    module.iter().cloned().chain(marked).chain(path.iter().skip(1).cloned()).collect()
}

impl Crate {
    fn new(of: &[(String, Source)]) -> Crate {
        let files = of.iter().map(|(name, source)| {
            let module = path_of(name);
            (module.clone(), File::new(name, &module, source))
        });
        Crate(files.collect())
    }

    /// The longest module that the path begins with, and the rest of it.
    fn module<'a>(&self, path: &'a [String]) -> Option<(&'a [String], &'a [String])> {
        (0..=path.len())
            .rev()
            .map(|at| path.split_at(at))
            .find(|(module, _)| self.0.contains_key(*module))
    }

    /// The file that defines what the path leads to; `None` for other crates.
    fn definition(&self, path: &[String], depth: usize) -> Option<&File> {
        let plain: Path = path.iter().map(|part| part.trim_start_matches('?').to_owned()).collect();
        let doubtful = path.iter().position(|part| part.starts_with('?'));
        let (module, rest) = self.module(&plain)?;
        // What is not a child is another crate.
        if doubtful.is_some_and(|at| module.len() <= at) {
            return None;
        }
        let file = &self.0[module];
        let Some(name) = rest.first() else { return Some(file) };
        if depth > 8 {
            return Some(file);
        }
        for import in &file.imports {
            let to = &import.path;
            if !import.is_glob && import.alias == *name {
                let target: Path = to.iter().cloned().chain(rest[1..].iter().cloned()).collect();
                return self.definition(&target, depth + 1);
            }
            let globbed = import.is_glob.then(|| self.definition(to, depth + 1)).flatten();
            if let Some(inner) =
                globbed.filter(|inner| inner.name != file.name && defines(inner, name))
            {
                return Some(inner);
            }
        }
        Some(file)
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, file) in &self.0 {
            let mut add = |path: &[String]| {
                let name = path.last().map_or("", String::as_str).trim_start_matches('?');
                if let Some(to) = self.definition(path, 0).filter(|to| to.name != file.name) {
                    let names = edges.entry(file.name.clone()).or_default();
                    names.entry(to.name.clone()).or_default().insert(name.to_owned());
                }
            };
            for import in &file.imports {
                let is_module = self.0.contains_key(&import.path);
                let is_used = match import.is_glob {
                    true => !import.is_public,
                    false => import.alias == "_" || !is_module && file.uses(&import.alias),
                };
                if is_used {
                    add(&import.path);
                }
            }
            for path in paths(&file.body) {
                let imported = file.imports.iter().find(|import| import.alias == path[0]);
                match imported {
                    // What a module that is imported has.
                    Some(import) if self.0.contains_key(&import.path) => {
                        add(&import
                            .path
                            .iter()
                            .cloned()
                            .chain(path[1..].iter().cloned())
                            .collect::<Path>());
                    }
                    Some(_) => {}
                    None => add(&absolute(module, &path)),
                }
            }
        }
        edges
    }
}

fn defines(file: &File, name: &str) -> bool {
    let keywords = ["struct", "enum", "trait", "type", "fn", "const", "static", "union"];
    let mut before = "";
    words(&file.body)
        .any(|word| keywords.contains(&std::mem::replace(&mut before, word)) && word == name)
}

/// The paths in code that have more than one segment.
fn paths(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for part in code.split(|c| !is_part(c)).filter(|part| part.contains("::")) {
        let path: Path = segments(part).collect();
        // What begins with colons continues a type, and a lone colon ends a name.
        if !part.starts_with(':') && path.len() > 1 && path.iter().all(|part| !part.contains(':')) {
            found.push(path);
        }
    }
    found
}

/// The strongly connected components of more than one file (Tarjan).
fn components(edges: &Edges) -> Vec<BTreeSet<String>> {
    struct Search<'a> {
        edges: &'a Edges,
        index: BTreeMap<&'a str, usize>,
        low: BTreeMap<&'a str, usize>,
        stack: Vec<&'a str>,
        found: Vec<BTreeSet<String>>,
    }
    fn visit<'a>(search: &mut Search<'a>, file: &'a str) {
        let number = search.index.len();
        search.index.insert(file, number);
        search.low.insert(file, number);
        search.stack.push(file);
        for to in search.edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if !search.index.contains_key(to.as_str()) {
                visit(search, to);
                search.low.insert(file, search.low[file].min(search.low[to.as_str()]));
            } else if search.stack.contains(&to.as_str()) {
                search.low.insert(file, search.low[file].min(search.index[to.as_str()]));
            }
        }
        if search.low[file] == number {
            let at = search.stack.iter().position(|on| *on == file).expect("it was pushed");
            let component = search.stack.split_off(at);
            if component.len() > 1 {
                search.found.push(component.into_iter().map(str::to_owned).collect());
            }
        }
    }
    let mut search = Search {
        edges,
        index: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: Vec::new(),
        found: Vec::new(),
    };
    for file in edges.keys() {
        if !search.index.contains_key(file.as_str()) {
            visit(&mut search, file);
        }
    }
    search.found
}

/// The files of each crate that ships, by its name.
fn crates() -> BTreeMap<String, Vec<(String, Source)>> {
    let mut crates: BTreeMap<String, Vec<(String, Source)>> = BTreeMap::new();
    for source in sources().filter(|source| !source.only_for_tests()) {
        let parts = source.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
        let Some((name, file)) = parts else { continue };
        let entry = (file.trim_end_matches(".rs").to_owned(), name.to_owned());
        crates.entry(entry.1).or_default().push((entry.0, source));
    }
    crates
}

#[test]
fn no_file_is_in_a_circle_of_files() {
    let mut findings = Vec::new();
    let mut still = BTreeSet::new();
    let mut count = 0;
    for (name, files) in crates() {
        let edges = Crate::new(&files).edges();
        count += edges.values().map(BTreeMap::len).sum::<usize>();
        for circle in components(&edges) {
            let is_left = CIRCLES_LEFT.iter().any(|(of, files)| {
                *of == name && circle.iter().all(|file| files.contains(&file.as_str()))
            });
            still.extend(circle.iter().map(|file| format!("{name}/{file}")));
            if !is_left {
                findings.extend(told(&name, &circle, &edges));
            }
        }
    }
    for (name, file) in
        CIRCLES_LEFT.iter().flat_map(|(name, files)| files.iter().map(move |file| (name, file)))
    {
        if !still.contains(&format!("{name}/{file}")) {
            findings.push(format!(
                "crates/{name}: {file} is in no circle any more: take it out of CIRCLES_LEFT"
            ));
        }
    }
    assert!(count > 300, "{count} edges were found");
    none(&findings);
}

/// A circle with the names that tie it.
fn told(name: &str, circle: &BTreeSet<String>, edges: &Edges) -> Vec<String> {
    let list =
        |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("crates/{name}: {} are a circle:", list(circle))];
    for from in circle {
        let within = edges[from].iter().filter(|(to, _)| circle.contains(*to));
        lines.extend(within.map(|(to, names)| format!("    {from} -> {to}: {}", list(names))));
    }
    lines
}

#[test]
fn edges_go_through_reexports_and_not_through_tests() {
    let source = |path: &str, text: &str| (path.to_owned(), Source::new(path.to_owned(), text));
    let files = [
        source("lib", "mod a;\nmod b;\npub use b::{Inner as Outer, other};\n"),
        source(
            "a",
            "use crate::{Outer,\n    c};\nfn f(x: Outer) { c::d::g(); std::mem::drop(x) }\n",
        ),
        source("b/mod", "mod inner;\npub(crate) use inner::*;\npub fn other() {}\n"),
        source("b/inner", "pub struct Inner;\n#[cfg(test)]\nmod tests { use crate::a::f; }\n"),
        source("c/mod", "pub(crate) mod d;\n"),
        source("c/d", "use super::super::a;\npub fn g() { a::f() }\n"),
    ];
    let edges = Crate::new(&files).edges();
    let edge = |from: &str| edges.get(from).map(|to| to.keys().cloned().collect::<Vec<_>>());
    assert_eq!(edge("a"), Some(vec!["b/inner".to_owned(), "c/d".to_owned()]));
    assert_eq!(edge("c/d"), Some(vec!["a".to_owned()]));
    assert_eq!((edge("lib"), edge("b/mod"), edge("b/inner")), (None, None, None));
    assert_eq!(components(&edges), [BTreeSet::from(["a".to_owned(), "c/d".to_owned()])]);
}
