//! The states beside one that cannot be had: which one `--nearest` takes, and the commands for both.

use ebbtide_catalog::{Nearest, Nothing, PlanError};
use ebbtide_replica::Point;
use ebbtide_restore::Error;
use ebbtide_store::error_chain;

use super::{code_of, quote};
use crate::args::{Restore, Side};
use crate::exit::Failure;

/// The states beside one that is no longer kept.
fn of_thinned(error: &Error) -> Option<Nearest> {
    match error {
        Error::Plan(PlanError::Nothing(
            Nothing::At { nearest, .. } | Nothing::Kept { nearest, .. },
        )) => Some(*nearest),
        Error::Plan(PlanError::Nothing(Nothing::Before { first })) => {
            Some(Nearest { before: None, after: *first })
        }
        _ => None,
    }
}

/// The state that `--nearest` takes in the place of one that is no longer kept.
pub(super) fn chosen(error: &Error, side: Option<Side>) -> Option<Point> {
    let nearest = of_thinned(error)?;
    match side? {
        Side::Before => nearest.before,
        Side::After => nearest.after,
    }
}

/// The error with its exit code, and a command for each state beside the one that was wanted.
pub(super) fn refusal(error: Error, args: &Restore) -> Failure {
    let nearest = match &error {
        Error::Plan(PlanError::Damaged { nearest, .. }) => *nearest,
        error => of_thinned(error).unwrap_or_default(),
    };
    let (code, mut said) = (code_of(&error), error_chain(&error));
    for (side, point) in [("before", nearest.before), ("after", nearest.after)] {
        if let Some(point) = point {
            said += &format!("\n{side} it: {}", command(args, &point));
        }
    }
    Failure::new(code, said)
}

/// The command that restores this state instead.
fn command(args: &Restore, point: &Point) -> String {
    let output = args
        .output
        .as_ref()
        .map_or(String::new(), |output| format!(" -o {}", quote::word(&output.to_string_lossy())));
    let force = if args.force { " --force" } else { "" };
    let (txid, sources) = (point.txid.get(), quote::words(&args.sources));
    format!("ebbtide restore{force}{output} --txid {txid:x} {sources} (of {})", point.time)
}
