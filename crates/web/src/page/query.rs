//! What a page is asked for, as its address has it. What cannot be read is as if it were not there.

use std::fmt::Write as _;

use ebbtide_replica::{Timestamp, Txid};
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use crate::timeline::Wanted;

const SECOND: i64 = 1_000_000;

/// The lengths of time that can be chosen, the shortest first, in seconds.
pub(super) const SPANS: [(&str, &str, i64); 7] = [
    ("10m", "10 minutes", 600),
    ("1h", "hour", 3600),
    ("1d", "day", 86_400),
    ("7d", "week", 604_800),
    ("30d", "month", 2_592_000),
    ("1y", "year", 31_536_000),
    ("all", "everything", i64::MAX / SECOND),
];

/// The words of an address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    /// The database.
    pub(super) name: String,
    /// How long the stretch of time is.
    span: String,
    /// Where it ends, in microseconds.
    end: String,
    /// The entry that is picked…
    pick: String,
    /// …or the one before this…
    before: String,
    /// …or after this.
    after: String,
}

/// From where on a long list is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Part {
    from: String,
}

impl Part {
    /// How many come before what is shown.
    pub(super) fn skipped(&self) -> usize {
        self.from.parse().unwrap_or(0)
    }
}

impl Query {
    /// The page of a database as it is now.
    pub(super) fn of(name: &str) -> Query {
        Query { name: name.to_owned(), ..Query::default() }
    }

    /// Which of the lengths was chosen.
    pub(super) fn span(&self) -> Option<usize> {
        SPANS.iter().position(|(word, ..)| *word == self.span)
    }

    /// Where the stretch of time ends, if that was said.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.end.parse().ok().and_then(Timestamp::from_micros)
    }

    /// Which commit is wanted.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let txid = |text: &str| u64::from_str_radix(text, 16).ok().and_then(Txid::new);
        let pick = txid(&self.pick).map(Wanted::Txid);
        let before = txid(&self.before).map(Wanted::Before);
        pick.or(before).or_else(|| txid(&self.after).map(Wanted::After))
    }

    /// The same with another length.
    pub(super) fn with_span(&self, at: usize) -> Query {
        let span = SPANS.get(at).map_or("", |(word, ..)| word).to_owned();
        Query { span, ..self.clone() }
    }

    /// The same with another end.
    pub(super) fn ending(&self, end: Option<Timestamp>) -> Query {
        let end = end.map(|end| end.as_micros().to_string()).unwrap_or_default();
        Query { end, ..self.clone() }
    }

    /// The same with another commit.
    pub(super) fn picking(&self, wanted: Option<Wanted>) -> Query {
        let (pick, before, after) = Default::default();
        let mut query = Query { pick, before, after, ..self.clone() };
        match wanted {
            Some(Wanted::Txid(txid)) => query.pick = format!("{:x}", txid.get()),
            Some(Wanted::Before(txid)) => query.before = format!("{:x}", txid.get()),
            Some(Wanted::After(txid)) => query.after = format!("{:x}", txid.get()),
            None => {}
        }
        query
    }

    /// As an address.
    pub(super) fn address(&self) -> String {
        let mut address = "/database?".to_owned();
        let words = [
            ("name", &self.name),
            ("span", &self.span),
            ("end", &self.end),
            ("pick", &self.pick),
            ("before", &self.before),
            ("after", &self.after),
        ];
        for (word, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
            let value: String = byte_serialize(value.as_bytes()).collect();
            let and = if address.ends_with('?') { "" } else { "&" };
            write!(address, "{and}{word}={value}").unwrap_or_default();
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_any_name_and_means_what_it_was_made_of() {
        let name = "/a b/\"<&>?#=%2F\n.db";
        let txid = Txid::new(0x2a).unwrap();
        let query = Query::of(name).with_span(1).picking(Some(Wanted::Before(txid)));
        let address = query.address();
        assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte)));
        let words = url::form_urlencoded::parse(address.split_once('?').unwrap().1.as_bytes());
        let read: Vec<(String, String)> = words.into_owned().collect();
        assert_eq!(read[0], ("name".to_owned(), name.to_owned()));
        assert_eq!(query.wanted(), Some(Wanted::Before(txid)));
        assert_eq!(query.span(), Some(1));
        assert_eq!(query.picking(None).wanted(), None);
        assert_eq!(Query::of("x").address(), "/database?name=x");
    }
}
