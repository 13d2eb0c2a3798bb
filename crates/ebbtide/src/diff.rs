//! The rows in which two moments differ.

use ebbtide_rows::{Options, Sink, Summary, diff as compare};
use ebbtide_trace::{Comparison, Scope};

use crate::error::Result;
use crate::moment::Moment;

/// Compares the rows of two moments, of one replica or of two, and tells `sink` each difference. Gives the sink back. Of one
/// [`Replica`](crate::Replica) only what the pages that changed between the two can have changed is read, where that is
/// certain.
///
/// # Errors
/// When a moment cannot be read, or the sink fails.
pub async fn diff<S: Sink + Send + 'static>(
    old: &Moment,
    new: &Moment,
    options: Options,
    mut sink: S,
) -> Result<(Summary, S)> {
    let (old, new) = (old.inner().clone(), new.inner().clone());
    let compare = move || {
        let comparison = Comparison::look(&old, &new, Scope::Changed)?;
        let summary = comparison.run(|old, new, extents| {
            compare(old, new, &Options { extents: extents.clone(), ..options }, &mut sink)
        })?;
        Ok((summary, sink))
    };
    tokio::task::spawn_blocking(compare).await?
}
