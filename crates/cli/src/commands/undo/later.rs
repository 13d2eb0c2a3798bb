//! Which later transaction changed a row that stands against an undo.

use std::ops::ControlFlow;
use std::sync::Arc;

use ebbtide_catalog::Target;
use ebbtide_moment::{Proof, Replica};
use ebbtide_replica::{Point, Txid};
use ebbtide_rows::{Conflict, Ident};
use ebbtide_trace::{Question, Trace};

use crate::args::Between;
use crate::commands::{changes, past};
use crate::exit::{Failure, Outcome};
use crate::logging;
use crate::runtime::{self, Workers};
use crate::source::Source;

/// For so many conflicts the transaction is looked for.
const NAMED_MAX: usize = 20;

/// For each conflict the last transaction after `after` that changed its row, as far as the replica has it. An undo of two
/// files has no later transactions.
pub(super) fn find(
    between: &Between,
    after: Option<Txid>,
    conflicts: &[Conflict],
) -> Vec<Option<Point>> {
    let Some(after) = after.filter(|_| !conflicts.is_empty()) else { return Vec::new() };
    let mut found = Vec::new();
    let searched = runtime::run(Workers::Cores, async {
        found = search(between, after, conflicts).await?;
        Ok(Outcome::Done)
    });
    if let Err(failure) = searched {
        // What was done and what was not is known all the same.
        logging::note(format_args!("which transaction changed these rows is not known: {failure}"));
    }
    found
}

async fn search(
    between: &Between,
    after: Txid,
    conflicts: &[Conflict],
) -> Result<Vec<Option<Point>>, Failure> {
    let Some(source) = between.sides.first() else { return Ok(Vec::new()) };
    let replica = past::open(&Source::find(source, &between.access)?).await?;
    let mut found = Vec::new();
    for conflict in conflicts.iter().take(NAMED_MAX) {
        let Some(condition) = &conflict.found else {
            found.push(None);
            continue;
        };
        let question = format!("SELECT * FROM {} WHERE {condition}", Ident(&conflict.table));
        found.push(last(replica.clone(), &question, after).await?);
    }
    Ok(found)
}

/// The last transaction after `after` that changed the answer.
async fn last(replica: Replica, question: &str, after: Txid) -> Result<Option<Point>, Failure> {
    let now = ebbtide_sidecar::clock::now();
    let trace = Trace {
        replica,
        question: Question::new(question),
        now,
        proof: Proof::Block,
        progress: Arc::default(),
    };
    let run = move || {
        let mut last = None;
        let searched = trace.run(Some(Target::Txid(after)), Target::Latest, |found| {
            last = Some(found.entry);
            ControlFlow::Break(())
        });
        searched.map(|_| last)
    };
    tokio::task::block_in_place(run).map_err(changes::failure)
}
