//! The terminal, if there is one: how wide it is, what it can, and how sizes are read there.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use terminal_size::{Width, terminal_size_of};

/// How wide the terminal is on which bars are shown.
pub(crate) fn columns() -> u16 {
    columns_of(io::stderr()).unwrap_or(80)
}

/// How wide a line of standard output may be; nothing where no terminal breaks it.
pub(crate) fn width() -> Option<usize> {
    let columns = io::stdout().is_terminal().then(|| columns_of(io::stdout())).flatten();
    columns.map(usize::from)
}

/// As wide as COLUMNS says, else as the terminal says itself.
fn columns_of(stream: impl AsFd) -> Option<u16> {
    let said = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let found = || terminal_size_of(stream).map(|(Width(columns), _)| columns);
    said.filter(|&columns| columns > 0).or_else(found)
}

/// Whether what is shown there is coloured: on a terminal that can, for people who want it (<https://no-color.org>).
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !refused && !is_dumb()
}

/// Whether the terminal, if there is one, can only append.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A size as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// How many there are of something, in words: `1 state`, `3 states`.
pub(crate) fn number_of(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
