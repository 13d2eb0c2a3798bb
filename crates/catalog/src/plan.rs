//! Which objects give a state, and in which order: a function from what is known to what to do next. It reads nothing.

mod newest;
mod path;
mod refuse;
mod search;
mod step;

use crate::known::Known;
pub use newest::lost_beginning;
pub(crate) use newest::without_log;
use path::Deltas;
pub(crate) use path::deltas_after;
pub use path::vouched_path;
use search::Search;
pub use step::{Culprit, Goal, Part, Plan, Refusal, Step};

/// The way to a state, or what must be read to find it.
#[must_use]
pub fn plan(known: &Known, goal: Goal) -> Step {
    plan_with(known, goal, true)
}

/// The same without a delta of the window, so that every state after the base is given by the same objects.
#[must_use]
pub(crate) fn plan_by_history(known: &Known, goal: Goal) -> Step {
    plan_with(known, goal, false)
}

fn plan_with(known: &Known, goal: Goal, within_window: bool) -> Step {
    let stop = match goal {
        Goal::Txid(txid) => txid,
        Goal::Head => match newest::head(known) {
            Ok(txid) => txid,
            Err(step) => return *step,
        },
    };
    if stop < known.window() && known.anchor(stop).is_none() {
        return Step::Refuse(Refusal::NotKept);
    }
    Search::new(known, stop, Deltas::new(known, stop, within_window)).run()
}
