//! One replica of the fleet, and which of them comes first.

use std::cmp::Reverse;

use ebbtide_replica::Timestamp;
use ebbtide_store::Location;

use crate::summary::{Newest, Summary};

/// A replica below the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub address: String,
    /// Its address without that of the fleet; `.` where the fleet is one replica.
    pub name: String,
    /// How it is; why that cannot be told, if it cannot.
    pub summary: Result<Summary, String>,
    /// What whoever looks knows of drills of it.
    pub drill: LastDrill,
}

/// What the last drill of a replica came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastDrill {
    /// When one proved it last, if one has.
    pub proved: Option<Timestamp>,
    /// When the last one failed, and why, if it did.
    pub failed: Option<(Timestamp, String)>,
}

impl Member {
    pub(crate) fn new(
        root: &Location,
        place: &Location,
        summary: Result<Summary, String>,
    ) -> Member {
        let drill = LastDrill::default();
        Member { address: place.to_string(), name: relative(root, place), summary, drill }
    }

    /// Whether it cannot be read, holds no state or not all of its history, its last drill failed, or it is silent for longer
    /// than it used to be.
    #[must_use]
    pub fn needs_attention(&self, now: Timestamp) -> bool {
        self.urgency(now) > (0, 0)
    }

    /// Why it needs attention, a line each.
    #[must_use]
    pub fn complaints(&self, now: Timestamp) -> Vec<String> {
        let summary = match &self.summary {
            Ok(summary) => summary,
            Err(error) => return vec![format!("cannot be read: {error}")],
        };
        let is_empty = summary.newest == Newest::None && summary.lost.is_none();
        let empty = is_empty.then(|| "holds no state: nothing can be restored from it".to_owned());
        let lost = summary.lost.as_ref().map(|lost| format!("its history is not whole: {lost}"));
        let silence = summary.silence.and_then(|silence| silence.explain(now));
        let failed = self.drill.failed.as_ref();
        let failed = failed.map(|(at, error)| format!("the drill at {at} failed: {error}"));
        [empty, lost, silence, failed].into_iter().flatten().collect()
    }

    /// What is urgent is greater.
    fn urgency(&self, now: Timestamp) -> (u8, i64) {
        let Ok(summary) = &self.summary else { return (2, 0) };
        // Something cannot be restored from it, or nothing.
        if summary.newest == Newest::None || summary.lost.is_some() {
            return (2, 0);
        }
        let silence = summary.silence.and_then(|silence| silence.is_unusual(now)).unwrap_or(0);
        (u8::from(self.drill.failed.is_some()), silence)
    }
}

/// Puts first what cannot be read, then what a drill failed with, then what is silent, for longer than it used to be, then the
/// rest by name.
pub(crate) fn sort(members: &mut [Member], now: Timestamp) {
    members.sort_by(|a, b| {
        let key = |member: &Member| Reverse(member.urgency(now));
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
}

/// What the address of `place` has more than that of `root`.
fn relative(root: &Location, place: &Location) -> String {
    let before_keys = |location: &Location| {
        let text = location.to_string();
        text.split_once('?').map_or(text.clone(), |(before, _)| before.to_owned())
    };
    let (root, place) = (before_keys(root), before_keys(place));
    let name = place.strip_prefix(root.trim_end_matches('/')).unwrap_or(&place);
    match name.trim_start_matches('/') {
        "" => ".".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_an_address_has_more_than_the_fleets() {
        for (root, place, name) in [
            ("s3://backups?region=x", "s3://backups/eu/a.db?region=x", "eu/a.db"),
            ("s3://backups/eu", "s3://backups/eu/a.db", "a.db"),
            ("s3://backups/eu", "s3://backups/eu", "."),
            ("/var/backups/", "/var/backups/a", "a"),
        ] {
            let [root, place] = [root, place].map(|text| text.parse::<Location>().unwrap());
            assert_eq!(relative(&root, &place), name);
        }
    }
}
