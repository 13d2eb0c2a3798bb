//! How far something is, for whoever waits for it: a bar on a terminal, a line a minute elsewhere.

use std::future::Future;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use ebbtide_catalog::{Counts, Progress};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::logging;
use crate::terminal::{bytes, columns, is_dumb};

const REDRAW: Duration = Duration::from_millis(100);

/// How often a line says how far it is, where there is no terminal.
const LINE: Duration = Duration::from_secs(60);

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Bytes,
    /// Replicas or entries.
    Number,
}

/// A bar over what is not known yet, on standard error if that is a terminal, and if not `quiet`.
pub(crate) fn bar(what: &'static str, quiet: bool) -> ProgressBar {
    // indicatif itself draws nothing where standard error is no terminal, but on one that cannot go back in a line.
    let is_hidden = quiet || is_dumb();
    let target =
        if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style("{prefix} …"));
    bar.with_prefix(what)
}

/// Moves a bar. It has no length before the total is known.
pub(crate) fn show(bar: &ProgressBar, counted: Counted, done: u64, total: u64) {
    if total == 0 {
        return;
    }
    if bar.length().is_none() {
        bar.set_style(style(template(counted, columns())));
    }
    bar.set_length(total);
    bar.set_position(done);
}

/// Waits for `work`, and shows meanwhile how many bytes of it are done, if not `quiet`.
pub(crate) async fn watch<T>(
    what: &'static str,
    quiet: bool,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    watch_on(&bar(what, quiet), Counted::Bytes, quiet, progress, work).await
}

/// The same on a bar that others may draw beside.
pub(crate) async fn watch_on<T>(
    bar: &ProgressBar,
    counted: Counted,
    quiet: bool,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    let mut lines = Lines::new(bar.prefix(), counted, Instant::now());
    let has_lines = !quiet && !io::stderr().is_terminal();
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            () = tokio::time::sleep(REDRAW) => {
                let counts = progress.counts();
                show(bar, counted, counts.done, counts.total);
                if has_lines && let Some(line) = lines.due(Instant::now(), counts) {
                    logging::note(line);
                }
            }
        }
    }
}

/// The lines where there is no terminal.
struct Lines {
    what: String,
    counted: Counted,
    /// When it became known how much there is to do.
    begun: Option<Instant>,
    next: Instant,
}

impl Lines {
    fn new(what: String, counted: Counted, now: Instant) -> Lines {
        Lines { what, counted, begun: None, next: now + LINE }
    }

    /// The line that is due now.
    fn due(&mut self, now: Instant, counts: Counts) -> Option<String> {
        let Counts { done, total, fetched } = counts;
        if total > 0 {
            self.begun.get_or_insert(now);
        }
        if now < self.next {
            return None;
        }
        self.next = now + LINE;
        let what = &self.what;
        let Some(begun) = self.begun else {
            return Some(format!("{what}: {} read by now", bytes(fetched)));
        };
        let millis = now.saturating_duration_since(begun).as_millis().max(1);
        let percent = u128::from(done) * 100 / u128::from(total).max(1);
        let rate = u64::try_from(u128::from(done) * 1000 / millis).unwrap_or(u64::MAX);
        let left = Duration::from_secs(total.saturating_sub(done) / rate.max(1));
        let left = HumanDuration(left);
        Some(match self.counted {
            Counted::Bytes => {
                let (total, rate) = (bytes(total), bytes(rate));
                format!("{what}: {percent}% of {total}, {rate}/s, {left} left")
            }
            Counted::Number => format!("{what}: {percent}% of {total}, {left} left"),
        })
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; without one the library's own look serves.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// As much as fits into a line, so that a terminal never breaks it.
fn template(counted: Counted, columns: u16) -> &'static str {
    match (columns, counted) {
        (90.., Counted::Bytes) => {
            "{prefix} [{bar:20}] {percent:>3}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
        }
        (60.., Counted::Bytes) => {
            "{prefix} [{bar:10}] {percent:>3}% of {binary_total_bytes}, {eta} left"
        }
        (90.., Counted::Number) => {
            "{prefix} [{bar:20}] {percent:>3}% of {len}, {per_sec}, {eta} left"
        }
        (60.., Counted::Number) => "{prefix} [{bar:10}] {percent:>3}% of {len}, {eta} left",
        (30.., _) => "{prefix} {percent:>3}%, {eta} left",
        _ => "{percent:>3}%",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widest that a bar gets, over a database of 16 TB.
    #[test]
    fn o32_a_bar_fits_into_its_line() {
        for (counted, columns) in [Counted::Bytes, Counted::Number]
            .into_iter()
            .flat_map(|counted| [20, 30, 40, 60, 80, 200].map(|columns| (counted, columns)))
        {
            let text = template(counted, columns);
            let widest = [
                ("{prefix}", "snapshot"),
                ("{bar:20}", "12345678901234567890"),
                ("{bar:10}", "1234567890"),
                ("{percent:>3}", "100"),
                ("{len}", "4294967295"),
                ("{binary_total_bytes}", "1023.99 GiB"),
                ("{binary_bytes_per_sec}", "1023.99 MiB/s"),
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

    #[test]
    fn without_a_terminal_a_line_a_minute_says_how_far_it_is() {
        let begun = Instant::now();
        let mut lines = Lines::new("restore".to_owned(), Counted::Bytes, begun);
        let at = |seconds| begun + Duration::from_secs(seconds);
        let counts = |done: u64, total: u64| Counts {
            done: done << 20,
            total: total << 20,
            fetched: 5 << 20,
        };
        assert_eq!(lines.due(at(59), counts(0, 0)), None);
        assert_eq!(lines.due(at(60), counts(0, 0)).unwrap(), "restore: 5.00 MiB read by now");
        assert_eq!(lines.due(at(70), counts(0, 4096)), None);
        assert_eq!(lines.due(at(119), counts(900, 4096)), None);
        let said = lines.due(at(134), counts(1024, 4096)).unwrap();
        assert_eq!(said, "restore: 25% of 4.00 GiB, 16.00 MiB/s, 3 minutes left");
        assert_eq!(lines.due(at(135), counts(1024, 4096)), None);
        let mut lines = Lines::new("search".to_owned(), Counted::Number, begun);
        let counts = |done, total| Counts { done, total, fetched: 0 };
        assert_eq!(lines.due(at(50), counts(0, 864_000)), None);
        let said = lines.due(at(60), counts(108_000, 864_000)).unwrap();
        assert_eq!(said, "search: 12% of 864000, 70 seconds left");
    }
}
