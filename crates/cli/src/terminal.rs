//! What people see while they wait: bars on a terminal, nothing elsewhere.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(100);

/// A bar over `total` pages, on standard error if that is a terminal, and if not `quiet`.
pub(crate) fn bar(what: &'static str, total: u64, quiet: bool) -> ProgressBar {
    // indicatif itself draws nothing where standard error is no terminal.
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template(
        "{prefix} [{bar:30}] {percent:>3}% of {len} pages, {per_sec}, {eta} left",
    );
    // The template is a constant; without it the library's own look serves.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(what);
    bar
}

/// The look of a bar that counts objects.
pub(crate) fn objects() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} objects, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
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
                bar.set_length(total);
                bar.set_position(done);
            }
        }
    }
}

/// A size as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
