//! The rows in which two moments differ.

use ebbtide_rows::{Options, Side, Sink, Summary, diff as compare};
use ebbtide_sql::Past;

use crate::error::{Error, Result};
use crate::moment::Moment;

/// Compares the rows of two moments, of one replica or of two, and tells `sink` each difference. Gives the sink back.
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
        let (old, new) = (Past::connect(&old)?, Past::connect(&new)?);
        let summary =
            compare(Side::new(&old, "main"), Side::new(&new, "main"), &options, &mut sink);
        match summary {
            Ok(summary) => Ok((summary, sink)),
            Err(error) => {
                let failures = [&old, &new].map(|past| past.main().take_failure());
                match failures.into_iter().flatten().next() {
                    Some(cause) => Err(Error::Moment(cause)),
                    None => Err(Error::Rows(error)),
                }
            }
        }
    };
    tokio::task::spawn_blocking(compare).await?
}
