//! docs/architecture.svg, drawn from the manifests: which crate uses which.
//!
//! `EBBTIDE_DRAW=1 cargo test --workspace --test it picture` draws it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::tree::{manifests, read, root};

const PICTURE: &str = "docs/architecture.svg";

/// The crates of the picture: in which half column each stands, and what it has. How high follows from its arrows.
const CRATES: &[(&str, u32, &str)] = &[
    ("cli", 4, "arguments, exit codes"),
    ("web", 2, "metrics and health"),
    ("sidecar", 2, "the engine"),
    ("shipper", 4, "commits in, objects out"),
    ("restore", 6, "objects in, a file out"),
    ("retention", 8, "what is kept"),
    ("copy", 10, "from store to store"),
    ("sql", 12, "a moment in SQLite"),
    ("moment", 12, "pages of the past"),
    ("trace", 10, "when answers changed"),
    ("ebbtide", 10, "the public library"),
    ("config", 2, "the configuration"),
    ("catalog", 5, "listings, the planner"),
    ("store", 4, "bucket, directory"),
    ("state", 6, "the local state"),
    ("replica", 3, "the format"),
    ("seal", 3, "keys of objects"),
    ("keys", 1, "recipients, identities"),
    ("watcher", 0, "transactions of the log"),
    ("wal", 2, "the log as bytes"),
    ("time", 4, "points in time"),
    ("directory", 6, "safe opening"),
    ("rows", 8, "values and tables"),
    ("export", 10, "dump, CSV, Postgres"),
    ("fleet", 8, "replicas of a bucket"),
];

/// Most crates use `fault`, which is empty in what ships, and `count` is a few atomics; the others are no part of what ships.
const LEFT_OUT: [&str; 7] =
    ["fault", "count", "testkit", "examples", "bench", "encodings", "wal-reset"];

const HALF_COLUMN: u32 = 95;
const ROW: u32 = 92;
const BOX: (u32, u32) = (156, 48);
const MARGIN: u32 = 12;

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Who uses whom in what ships.
fn uses() -> Uses {
    let all =
        manifests().into_iter().filter(|manifest| !LEFT_OUT.contains(&manifest.name.as_str()));
    let ours = |name: &str| Some(name.strip_prefix("ebbtide-")?.to_owned());
    let of = |manifest: super::tree::Manifest| {
        let ships = manifest.dependencies.iter().filter(|dependency| dependency.ships);
        let names = ships.filter_map(|dependency| ours(&dependency.name));
        let names = names.filter(|name| !LEFT_OUT.contains(&name.as_str())).collect();
        (manifest.name, names)
    };
    all.map(of).collect()
}

/// Whether `from` uses `to` through others, or itself.
fn reaches(uses: &Uses, from: &str, to: &str) -> bool {
    uses[from].iter().any(|used| used == to || reaches(uses, used, to))
}

/// The arrows that do not follow from others.
fn arrows(uses: &Uses) -> Vec<(&str, &str)> {
    let mut arrows = Vec::new();
    for (from, used) in uses {
        for to in used {
            if !used.iter().any(|other| other != to && reaches(uses, other, to)) {
                arrows.push((from.as_str(), to.as_str()));
            }
        }
    }
    arrows
}

/// How many crates lie below one at most.
fn height(uses: &Uses, name: &str) -> u32 {
    uses[name].iter().map(|used| height(uses, used) + 1).max().unwrap_or(0)
}

fn draw(uses: &Uses) -> String {
    let top = uses.keys().map(|name| height(uses, name)).max().unwrap_or(0);
    let corner = |name: &str| {
        let (_, column, _) = CRATES.iter().find(|known| known.0 == name).expect("it has a place");
        (MARGIN + column * HALF_COLUMN, MARGIN + (top - height(uses, name)) * ROW)
    };
    let width = 2 * MARGIN + 8 * HALF_COLUMN + BOX.0;
    let total = 2 * MARGIN + top * ROW + BOX.1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {total}\" \
         font-family=\"sans-serif\" text-anchor=\"middle\">\n\
         <title>Which crate uses which; arrows that follow from others are left out</title>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect width=\"{width}\" height=\"{total}\" fill=\"#fff\"/>\n"
    );
    for (from, to) in arrows(uses) {
        let (from, to) = (corner(from), corner(to));
        let (x1, y1, x2, y2) = (from.0 + BOX.0 / 2, from.1 + BOX.1, to.0 + BOX.0 / 2, to.1);
        writeln!(
            svg,
            "<path d=\"M{x1} {y1}L{x2} {y2}\" stroke=\"#000\" marker-end=\"url(#tip)\"/>"
        )
        .expect("a string takes it");
    }
    for (name, _, has) in CRATES {
        let ((x, y), (width, height)) = (corner(name), BOX);
        let middle = x + width / 2;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\" \
             fill=\"#eef3f8\" stroke=\"#345\"/>\n\
             <text x=\"{middle}\" y=\"{}\" font-size=\"15\" font-weight=\"bold\">{name}</text>\n\
             <text x=\"{middle}\" y=\"{}\" font-size=\"12\">{has}</text>",
            y + 20,
            y + 38
        )
        .expect("a string takes it");
    }
    svg + "</svg>\n"
}

#[test]
fn the_picture_of_the_crates_is_that_of_the_manifests() {
    let uses = uses();
    let known: BTreeSet<&str> = CRATES.iter().map(|known| known.0).collect();
    let there: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
    assert_eq!(known, there, "each crate has a place in CRATES, or is one of LEFT_OUT");
    let drawn = draw(&uses);
    if std::env::var_os("EBBTIDE_DRAW").is_some() {
        std::fs::write(root().join(PICTURE), &drawn).unwrap();
    }
    assert!(read(PICTURE) == drawn, "{PICTURE} is of other crates: EBBTIDE_DRAW=1 draws it again");
}
