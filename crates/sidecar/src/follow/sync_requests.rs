//! Requests for a sync: when everything that was committed at the time of a request is durable.

use ebbtide_replica::Txid;

/// Requests are numbered. Those that come while one is being met are met together by the next scan.
#[derive(Debug, Default)]
pub(crate) struct SyncRequests {
    /// The newest request whose commits are all captured.
    captured: u64,
    /// The last of those commits, until it is durable.
    until: Option<Txid>,
}

impl SyncRequests {
    /// The log was scanned after the request `asked`, and `more` tells whether it has more to capture. `last` is the last
    /// captured entry and `durable` the last durable one. Returns the newest request that is met now.
    pub(crate) fn on_scan(
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

    /// The entry for which a client waits: it is put without asking the put budget. The first of all if it is not known yet.
    pub(crate) fn awaited(&self, asked: u64) -> Option<Txid> {
        self.until.or_else(|| (asked > self.captured).then_some(Txid::FIRST))
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
        let mut requests = SyncRequests::default();
        assert_eq!(requests.awaited(0), None);
        assert_eq!(requests.on_scan(1, true, txid(5), txid(5)), None, "there is more to capture");
        assert_eq!(requests.awaited(1), Some(txid(1)));
        assert_eq!(requests.on_scan(1, false, txid(7), txid(5)), None);
        assert_eq!(requests.on_scan(1, false, txid(9), txid(6)), None);
        assert_eq!(requests.awaited(1), Some(txid(7)));
        assert_eq!(
            requests.on_scan(1, true, txid(9), txid(7)),
            Some(1),
            "later commits do not count"
        );
        assert_eq!(requests.awaited(1), None);
    }

    #[test]
    fn nothing_to_ship_is_met_at_once() {
        assert_eq!(SyncRequests::default().on_scan(1, false, txid(3), txid(3)), Some(1));
    }

    #[test]
    fn later_requests_do_not_keep_an_earlier_one_waiting() {
        let mut requests = SyncRequests::default();
        assert_eq!(requests.on_scan(1, false, txid(7), txid(5)), None);
        assert_eq!(requests.on_scan(2, false, txid(8), txid(6)), None);
        assert_eq!(requests.on_scan(3, false, txid(9), txid(7)), Some(1));
        assert_eq!(requests.awaited(3), Some(txid(1)));
        assert_eq!(requests.on_scan(3, false, txid(9), txid(9)), Some(3));
    }
}
