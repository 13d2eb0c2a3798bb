//! Which point of the history is meant.

use std::str::FromStr;
use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_replica::{ParseError, Timestamp, Txid};

use crate::clock;

/// A point of the history. As text: `now`, a time by RFC 3339, `txid:2a`, or `before:2a` for the state before that
/// transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The newest state.
    Newest,
    /// The state at this time: after the last transaction that was committed by then.
    Time(Timestamp),
    /// The state after this transaction.
    Txid(Txid),
    /// The state before this transaction.
    Before(Txid),
}

impl When {
    /// The state so long before now.
    #[must_use]
    pub fn ago(span: Duration) -> When {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        When::Time(Timestamp::clamped(clock::now().as_micros().saturating_sub(micros)))
    }

    /// As the planner knows it. There is no state before the first transaction.
    pub(crate) fn target(self) -> Option<Target> {
        match self {
            When::Newest => Some(Target::Latest),
            When::Time(time) => Some(Target::Time(time)),
            When::Txid(txid) => Some(Target::Txid(txid)),
            When::Before(txid) => txid.previous().map(Target::Txid),
        }
    }
}

impl FromStr for When {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<When, ParseError> {
        if text == "now" {
            return Ok(When::Newest);
        }
        if let Some(txid) = text.strip_prefix("txid:") {
            return txid.parse().map(When::Txid);
        }
        if let Some(txid) = text.strip_prefix("before:") {
            return txid.parse().map(When::Before);
        }
        text.parse().map(When::Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_the_command_reads_them() {
        let txid = Txid::new(42).unwrap();
        assert_eq!("now".parse(), Ok(When::Newest));
        assert_eq!("txid:2a".parse(), Ok(When::Txid(txid)));
        assert_eq!("before:2a".parse(), Ok(When::Before(txid)));
        let time = "2026-11-21T09:30:00Z".parse().unwrap();
        assert_eq!("2026-11-21T10:30:00+01:00".parse(), Ok(When::Time(time)));
        assert!("yesterday".parse::<When>().is_err());
        assert_eq!(When::Before(Txid::FIRST).target(), None);
    }
}
