//! `ebbtide when`: the transactions at which the answer to a query changed.

use ebbtide_trace::{Found, Question};

use super::changes::{Changes, newest, place};
use super::past;
use crate::args::Asking;
use crate::exit::{Failure, Outcome};
use crate::source::Source;

/// Runs the command.
///
/// # Errors
/// When the query is no question, or the replica cannot be read.
pub(crate) async fn run(args: Asking) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.search.access)?;
    let now = ebbtide_sidecar::clock::now();
    let replica = past::open(&source).await?;
    let newest = newest(&replica, &args.search, now).await?;
    let question = Question::new(&args.sql);
    let (falls, rises) = (args.falls, args.rises);
    let is_wanted = move |found: &Found| {
        let numbers = (found.before.number(), found.after.number());
        match numbers {
            _ if !falls && !rises => true,
            (Some(before), Some(after)) => (falls && after < before) || (rises && after > before),
            _ => false,
        }
    };
    let line = |found: &Found| format!("{}  {} → {}", place(found), found.before, found.after);
    Changes { replica, newest, question, search: &args.search, now }.tell(is_wanted, line).await?;
    Ok(Outcome::Done)
}
