//! What goes to a store and comes from it, counted: requests by kind and by how they ended, their time, and bytes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ebbtide_count::{Counter, Distribution, Durations};

use super::error::{ErrorKind, StoreError};
use super::pace::Pace;

/// The bounds by which the time of requests is counted: from a directory's to that of a large object on a bad day.
const BOUNDS: [Duration; 11] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(1000),
    Duration::from_millis(5000),
    Duration::from_millis(30_000),
    Duration::from_millis(120_000),
];

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// An object at once.
    Put,
    /// An object in parts, from its begin to its end.
    Upload,
    /// An object, or a part of one.
    Get,
    /// The size of an object.
    Head,
    /// Names.
    List,
    /// Objects are deleted, one or many.
    Delete,
    /// What it can do, what time it has, what uploads were left behind.
    Other,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// As it should.
    Ok,
    /// By an error of this kind.
    Error(ErrorKind),
}

impl RequestKind {
    const ALL: [RequestKind; 7] = [
        RequestKind::Put,
        RequestKind::Upload,
        RequestKind::Get,
        RequestKind::Head,
        RequestKind::List,
        RequestKind::Delete,
        RequestKind::Other,
    ];
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestKind::Put => "put",
            RequestKind::Upload => "upload",
            RequestKind::Get => "get",
            RequestKind::Head => "head",
            RequestKind::List => "list",
            RequestKind::Delete => "delete",
            RequestKind::Other => "other",
        })
    }
}

impl Answered {
    const ALL: [Answered; 8] = [
        Answered::Ok,
        Answered::Error(ErrorKind::NotFound),
        Answered::Error(ErrorKind::Exists),
        Answered::Error(ErrorKind::Denied),
        Answered::Error(ErrorKind::Invalid),
        Answered::Error(ErrorKind::Throttled),
        Answered::Error(ErrorKind::Unavailable),
        Answered::Error(ErrorKind::Damaged),
    ];

    fn of<T>(result: &Result<T, StoreError>) -> Answered {
        result.as_ref().map_or_else(|error| Answered::Error(error.kind()), |_| Answered::Ok)
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answered::Ok => "ok",
            Answered::Error(ErrorKind::NotFound) => "not-found",
            Answered::Error(ErrorKind::Exists) => "exists",
            Answered::Error(ErrorKind::Denied) => "denied",
            Answered::Error(ErrorKind::Invalid) => "invalid",
            Answered::Error(ErrorKind::Throttled) => "throttled",
            Answered::Error(ErrorKind::Unavailable) => "unavailable",
            Answered::Error(ErrorKind::Damaged) => "damaged",
        })
    }
}

/// How long requests of each kind took, of all databases together.
#[derive(Debug)]
pub struct RequestDurations([Durations; RequestKind::ALL.len()]);

impl Default for RequestDurations {
    fn default() -> RequestDurations {
        RequestDurations(std::array::from_fn(|_| Durations::new(&BOUNDS)))
    }
}

impl RequestDurations {
    /// Those of each kind.
    pub fn read(&self) -> impl Iterator<Item = (RequestKind, Distribution)> + '_ {
        RequestKind::ALL.into_iter().zip(self.0.iter().map(Durations::read))
    }
}

/// Requests that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// What was asked.
    pub kind: RequestKind,
    /// How it ended.
    pub answered: Answered,
    /// How often.
    pub count: u64,
}

/// The traffic of one database with its replica and mirrors. A read that is tried again within a moment, and a listing
/// of several pages, count as one request.
#[derive(Debug)]
pub struct Traffic {
    requests: [[Counter; Answered::ALL.len()]; RequestKind::ALL.len()],
    /// Bytes of objects that were sent, of requests that failed, too.
    pub sent: Counter,
    /// Bytes of objects that were received.
    pub received: Counter,
    durations: Arc<RequestDurations>,
    /// How fast objects are sent, together with others.
    pub(crate) pace: Arc<Pace>,
}

impl Traffic {
    /// None yet. How long requests take is counted in `durations`, and what is sent goes at `pace`.
    #[must_use]
    pub fn new(durations: Arc<RequestDurations>, pace: Arc<Pace>) -> Traffic {
        let (requests, sent, received) = Default::default();
        Traffic { requests, sent, received, durations, pace }
    }

    /// A request was answered after so long.
    pub(crate) fn answered<T>(
        &self,
        kind: RequestKind,
        result: &Result<T, StoreError>,
        took: Duration,
    ) {
        let answered = Answered::of(result);
        let at = Answered::ALL.iter().position(|it| *it == answered).unwrap_or_default();
        self.requests[kind as usize][at].add(1);
        self.durations.0[kind as usize].add(took);
    }

    /// Those that were answered, by kind and by how they ended; what never came is not among them.
    pub fn requests(&self) -> impl Iterator<Item = Requests> + '_ {
        let of = |kind: RequestKind| {
            let counts = self.requests[kind as usize].iter().map(Counter::get);
            Answered::ALL.into_iter().zip(counts).map(move |(answered, count)| Requests {
                kind,
                answered,
                count,
            })
        };
        RequestKind::ALL.into_iter().flat_map(of).filter(|requests| requests.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        for (at, kind) in RequestKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }
}
