//! Taking back what changed between two moments.

use ebbtide_rows::{Options, Policy, Undo, diff};
use ebbtide_trace::{Comparison, Scope};

use crate::error::Result;
use crate::moment::Moment;

/// What changed from the moment `before` to the moment `after`, of one replica or of two, as steps that take it back in a
/// database that may have gone on since. [`Undo::apply`] runs them all or nothing, [`Undo::print`] writes a script that does
/// so in any client, and [`Undo::refused`] names what is not undone. `drops_created` says whether tables, indexes, views
/// and triggers that were created in between are dropped.
///
/// What is written into a database should be read from [proved](crate::Replica::at_proved) moments.
///
/// # Errors
/// When a moment cannot be read, or a row cannot be named in SQL.
pub async fn undo(
    before: &Moment,
    after: &Moment,
    options: Options,
    policy: Policy,
    drops_created: bool,
) -> Result<Undo> {
    let (before, after) = (before.inner().clone(), after.inner().clone());
    let collect = move || {
        let comparison = Comparison::look(&before, &after, Scope::Changed)?;
        let mut steps = Undo::new(policy, drops_created);
        comparison.run(|before, after, extents| {
            // The differences are those on the way back.
            diff(after, before, &Options { extents: extents.clone(), ..options }, &mut steps)
        })?;
        Ok(steps)
    };
    tokio::task::spawn_blocking(collect).await?
}
