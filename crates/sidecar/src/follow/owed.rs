//! What a session owes to those who asked for everything committed by then to be durable.

use ebbtide_replica::Txid;

/// Requests are numbered; those that come while one is being met are met together by the next.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// The newest request whose commits are all captured.
    captured: u64,
    /// The last of them, until it is durable.
    until: Option<Txid>,
}

impl Owed {
    /// The newest request from before the last look at the log was `asked`, and the look left `more` to capture or not.
    /// `last` was captured, `durable` is durable; the newest request that has been met by that, if one has.
    pub(crate) fn looked(
        &mut self,
        asked: u64,
        more: bool,
        last: Txid,
        durable: Txid,
    ) -> Option<u64> {
        if self.until.is_none() && asked > self.captured && !more {
            (self.captured, self.until) = (asked, Some(last));
        }
        if self.until.is_some_and(|until| durable >= until) {
            self.until = None;
            return Some(self.captured);
        }
        None
    }

    /// Whether somebody waits, so that what is captured should go at once.
    pub(crate) fn presses(&self, asked: u64) -> bool {
        self.until.is_some() || asked > self.captured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    #[test]
    fn a_request_is_met_once_all_that_was_committed_then_is_captured_and_durable() {
        let mut owed = Owed::default();
        assert!(!owed.presses(0));
        assert_eq!(owed.looked(1, true, txid(5), txid(5)), None, "there is more to capture");
        assert!(owed.presses(1));
        assert_eq!(owed.looked(1, false, txid(7), txid(5)), None);
        assert_eq!(owed.looked(1, false, txid(9), txid(6)), None);
        assert_eq!(owed.looked(1, true, txid(9), txid(7)), Some(1), "later commits do not count");
        assert!(!owed.presses(1));
    }

    #[test]
    fn nothing_to_ship_is_met_at_once() {
        assert_eq!(Owed::default().looked(1, false, txid(3), txid(3)), Some(1));
    }

    #[test]
    fn later_requests_do_not_keep_an_earlier_one_waiting() {
        let mut owed = Owed::default();
        assert_eq!(owed.looked(1, false, txid(7), txid(5)), None);
        assert_eq!(owed.looked(2, false, txid(8), txid(6)), None);
        assert_eq!(owed.looked(3, false, txid(9), txid(7)), Some(1));
        assert!(owed.presses(3));
        assert_eq!(owed.looked(3, false, txid(9), txid(9)), Some(3));
    }
}
