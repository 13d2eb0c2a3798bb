//! What a pack of small commits costs, and how long it takes, with different encodings of its page images: bytes a
//! commit, and mebibytes of images a second.
//!
//! `cargo run --release --manifest-path tests/encodings/Cargo.toml`
//!
//! With the path of an `ebbtide` behind `--`, the same works are replicated by it into directories, 48 commits a second each
//! for eleven minutes (or as many seconds as a second argument says), and what lies there is shown; a directory as a third argument keeps it.
//!
//! The rows of the table: LZ4 of each image by itself; LZ4 of blocks of 128 KiB, as in objects that are not packs; each
//! image against the one before it of the same page, the first and each 256th by itself; and the images of each page
//! side by side, in blocks of at most 1 MiB.

mod encodings;
mod packs;
mod random;
mod works;

#[path = "../../../crates/replica/src/container/difference.rs"]
mod difference;

/// What `difference` knows of its own crate.
type Result<T> = std::result::Result<T, Error>;

/// As in ebbtide's tree.
#[derive(Debug)]
#[expect(dead_code, reason = "it is shown if something is wrong")]
struct Error(String);

impl Error {
    fn damaged(what: &str, why: &str) -> Error {
        Error(format!("{what}: {why}"))
    }
}

use encodings::ENCODINGS;
use works::{COMMITS, PAGE, WORKS};

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let Some(ebbtide) = arguments.next() {
        let seconds = arguments.next().map_or(Ok(660), |seconds| seconds.parse());
        let ebbtide = std::path::absolute(ebbtide).expect("a path");
        let seconds = seconds.expect("a number of seconds");
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = arguments.next().map_or(temporary.path().to_owned(), Into::into);
        return packs::measure(&ebbtide, seconds, &directory);
    }
    for work in &WORKS {
        let commits = work.commits();
        let images: usize = commits.iter().map(Vec::len).sum();
        let distinct: std::collections::BTreeSet<u32> =
            commits.iter().flatten().map(|image| image.number).collect();
        let runs: usize = commits
            .iter()
            .map(|images| {
                1 + images.windows(2).filter(|two| two[0].number + 1 != two[1].number).count()
            })
            .sum();
        let rows = (COMMITS * 80 + images * 16 + runs * 8) / COMMITS;
        println!(
            "\n{}: {:.2} pages a commit, {} distinct; raw {} B, rows, hashes and runs {rows} B",
            work.name,
            images as f64 / COMMITS as f64,
            distinct.len(),
            images * PAGE / COMMITS
        );
        for (name, encode) in ENCODINGS {
            let measured = encode(&commits);
            println!(
                "  {name:46} {:6} B   encode {:6.0} MiB/s   decode {:6.0} MiB/s",
                measured.bytes / COMMITS,
                measured.rate(measured.encoding),
                measured.rate(measured.decoding),
            );
        }
    }
}
