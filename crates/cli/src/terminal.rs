//! What people see while they wait: bars on a terminal, nothing elsewhere.

use std::env;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use terminal_size::{Width, terminal_size_of};

const REDRAW: Duration = Duration::from_millis(100);

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Pages,
    Objects,
}

/// A bar over what is not known yet, on standard error if that is a terminal, and if not `quiet`.
pub(crate) fn bar(what: &'static str, counted: Counted, quiet: bool) -> ProgressBar {
    // indicatif itself draws nothing where standard error is no terminal, but on one that cannot go back in a line.
    let is_hidden = quiet || is_dumb();
    let target =
        if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style("{prefix} …"));
    bar.set_prefix(what);
    bar.with_message(match counted {
        Counted::Pages => "pages",
        Counted::Objects => "objects",
    })
}

/// Moves a bar. It has no length before the total is known.
pub(crate) fn show(bar: &ProgressBar, done: u64, total: u64) {
    if total == 0 {
        return;
    }
    if bar.length().is_none() {
        bar.set_style(style(template(columns())));
    }
    bar.set_length(total);
    bar.set_position(done);
}

/// Waits for `work` while `counts` (done, total) moves the bar.
pub(crate) async fn watch<T>(
    bar: &ProgressBar,
    counts: impl Fn() -> (u64, u64),
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            () = tokio::time::sleep(REDRAW) => {
                let (done, total) = counts();
                show(bar, done, total);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; without one the library's own look serves.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// As much as fits into a line, so that a terminal never breaks it.
fn template(columns: u16) -> &'static str {
    match columns {
        90.. => "{prefix} [{bar:20}] {percent:>3}% of {len} {msg}, {per_sec}, {eta} left",
        60.. => "{prefix} [{bar:10}] {percent:>3}% of {len} {msg}, {eta} left",
        30.. => "{prefix} {percent:>3}%, {eta} left",
        _ => "{percent:>3}%",
    }
}

/// How wide the terminal is on which bars are shown.
fn columns() -> u16 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The widest that a bar gets, over a database of 16 TB.
    #[test]
    fn o32_a_bar_fits_into_its_line() {
        for columns in [20, 30, 40, 60, 80, 200] {
            let text = template(columns);
            let widest = [
                ("{prefix}", "snapshot"),
                ("{bar:20}", "12345678901234567890"),
                ("{bar:10}", "1234567890"),
                ("{percent:>3}", "100"),
                ("{len}", "4294967295"),
                ("{msg}", "pages"),
                ("{per_sec}", "123456.7890/s"),
                ("{eta}", "59m"),
            ];
            let text = widest.iter().fold(text.to_owned(), |text, (name, value)| {
                assert!(!value.is_empty());
                text.replace(name, value)
            });
            assert!(!text.contains('{'), "{text}");
            assert!(text.len() <= usize::from(columns), "{columns}: {text}");
        }
    }
}
