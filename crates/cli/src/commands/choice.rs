//! Which state is meant by `--timestamp` and `--txid`.

use ebbtide_catalog::Target;
use ebbtide_replica::Timestamp;

use crate::clock;
use crate::exit::{Code, Failure};
use crate::number::Number;
use crate::when::{Point, When};

/// The state that is wanted, the newest if nothing says otherwise, and how that was read, if the arguments do not say it
/// themselves.
pub(super) fn target(
    timestamp: Option<&When>,
    txid: Option<Number>,
    now: Timestamp,
) -> Result<(Target, Option<String>), Failure> {
    let Some(when) = timestamp else {
        let Some(number) = txid else { return Ok((Target::Latest, None)) };
        return Ok((Target::Txid(number.txid()), number.said()));
    };
    let reading = when.resolve(&clock::in_local_zone(now));
    let reading = reading.map_err(|error| Failure::new(Code::Usage, error))?;
    let target = match reading.point {
        // Whatever an entry is dated by a clock that was ahead, it was made before now.
        Point::Now => Target::Latest,
        Point::Time(time) => Target::Time(time),
        Point::Txid(txid) => Target::Txid(txid),
    };
    Ok((target, reading.said))
}
