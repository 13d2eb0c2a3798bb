//! The policy: which states are kept for how long, in words.

use std::fmt;
use std::str::FromStr;

use crate::period::{Period, PeriodError};

/// How long states of each kind are kept. Each is a lower bound. What no word keeps is not kept, but for the newest
/// state and for what is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keep {
    periods: [Option<Period>; Kind::ALL.len()],
    /// How many of the newest full snapshots are kept, whatever their age.
    last: u32,
}

/// A kind of state that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The state after each entry.
    EveryCommit,
    /// The newest of each hour, UTC.
    Hourly,
    /// The newest of each day, UTC.
    Daily,
    /// The newest of each week, which begins on Monday, UTC.
    Weekly,
    /// The newest of each month, UTC.
    Monthly,
    /// The newest of each year, UTC.
    Yearly,
}

impl Kind {
    /// All of them, the finest first.
    pub const ALL: [Kind; 6] =
        [Kind::EveryCommit, Kind::Hourly, Kind::Daily, Kind::Weekly, Kind::Monthly, Kind::Yearly];

    /// The word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::EveryCommit => "every-commit",
            Kind::Hourly => "hourly",
            Kind::Daily => "daily",
            Kind::Weekly => "weekly",
            Kind::Monthly => "monthly",
            Kind::Yearly => "yearly",
        }
    }
}

const LAST: &str = "last";

/// Why a policy is refused, with what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// A word that means nothing here.
    #[error("keep knows no \"{word}\"{meant}")]
    Word {
        /// The word.
        word: String,
        /// What was probably meant, or all that there is.
        meant: String,
    },
    /// A word that stands there twice.
    #[error("keep has \"{0}\" twice")]
    Twice(&'static str),
    /// A period that is none.
    #[error("keep: {word} = {source}")]
    Period {
        /// The word before it.
        word: &'static str,
        /// What is wrong with it.
        source: PeriodError,
    },
    /// A number of snapshots that is none.
    #[error("keep: last = \"{0}\" is no number of full snapshots: write for example 3")]
    Last(String),
    /// A finer kind that is kept for longer than a coarser one.
    #[error(
        "keep: {finer} = \"{longer}\" is longer than {coarser} = \"{shorter}\", which then keeps nothing: leave {coarser} \
         out, or did you mean the other way round?"
    )]
    Order {
        /// The finer kind.
        finer: &'static str,
        /// Its period.
        longer: Period,
        /// The coarser kind.
        coarser: &'static str,
        /// Its period.
        shorter: Period,
    },
    /// No word at all.
    #[error(
        "keep says nothing: leave it out to keep all history, or write for example every-commit = \"7d\""
    )]
    Empty,
    /// A part that is no word with a value.
    #[error(
        "keep: \"{0}\" is no word with a value: write for example every-commit=7d,daily=1y,last=3"
    )]
    Part(String),
}

impl Keep {
    /// The policy that these words say, each with its value.
    ///
    /// # Errors
    /// With what was probably meant.
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Keep, KeepError> {
        let mut periods = [None; Kind::ALL.len()];
        let mut last = None;
        for (word, value) in words {
            if word == LAST {
                let number = value.parse::<u32>().ok().filter(|&number| number > 0);
                let number = number.ok_or_else(|| KeepError::Last(value.to_owned()))?;
                if last.replace(number).is_some() {
                    return Err(KeepError::Twice(LAST));
                }
                continue;
            }
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else {
                return Err(KeepError::Word { word: word.to_owned(), meant: meant(word) });
            };
            let word = kind.word();
            let period = value.parse().map_err(|source| KeepError::Period { word, source })?;
            if periods[kind as usize].replace(period).is_some() {
                return Err(KeepError::Twice(word));
            }
        }
        let keep = Keep { periods, last: last.unwrap_or(0) };
        if keep.is_empty() {
            return Err(KeepError::Empty);
        }
        keep.check_order()?;
        Ok(keep)
    }

    fn is_empty(&self) -> bool {
        self.last == 0 && self.periods.iter().all(Option::is_none)
    }

    fn check_order(&self) -> Result<(), KeepError> {
        let mut finer: Option<(Kind, Period)> = None;
        for (coarse, shorter) in self.periods() {
            if let Some((fine, longer)) = finer.filter(|(_, longer)| *longer > shorter) {
                let (finer, coarser) = (fine.word(), coarse.word());
                return Err(KeepError::Order { finer, longer, coarser, shorter });
            }
            finer = Some((coarse, shorter));
        }
        Ok(())
    }

    /// For how long states of this kind are kept.
    #[must_use]
    pub fn period(&self, kind: Kind) -> Option<Period> {
        self.periods[kind as usize]
    }

    /// The kinds that are kept, the finest first, each with its period.
    pub fn periods(&self) -> impl Iterator<Item = (Kind, Period)> {
        Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.period(kind)?)))
    }

    /// How many of the newest full snapshots are kept, whatever their age.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.last
    }
}

/// What was probably meant by a word, or all that there are.
fn meant(word: &str) -> String {
    let words = || Kind::ALL.into_iter().map(Kind::word).chain([LAST]);
    let close = words()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|&(distance, known)| distance <= known.len() / 2)
        .min();
    match (word, close) {
        ("every" | "all" | "commits" | "within", _) => {
            format!(": did you mean \"{}\"?", Kind::EveryCommit.word())
        }
        (_, Some((_, known))) => format!(": did you mean \"{known}\"?"),
        (_, None) => format!("; the words are {}", words().collect::<Vec<_>>().join(", ")),
    }
}

/// `every-commit=7d,hourly=30d,daily=1y,last=3`.
impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Keep, KeepError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let split = |part: &'_ str| match part.split_once('=') {
            Some((word, value)) => Ok((word.trim().to_owned(), value.trim().to_owned())),
            None => Err(KeepError::Part(part.to_owned())),
        };
        let words = parts.map(split).collect::<Result<Vec<_>, _>>()?;
        Keep::from_words(words.iter().map(|(word, value)| (word.as_str(), value.as_str())))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (kind, period) in self.periods() {
            write!(f, "{before}{}={period}", kind.word())?;
            before = ",";
        }
        if self.last > 0 {
            write!(f, "{before}{LAST}={}", self.last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        text.parse::<Keep>().expect_err("it is refused").to_string()
    }

    #[test]
    fn a_policy_is_read_and_written() {
        let all = "every-commit=7d,hourly=30d,daily=1y,weekly=2y,monthly=5y,yearly=forever,last=3";
        assert_eq!(all.parse::<Keep>().unwrap().to_string(), all);
        let keep: Keep = "last=2, daily = 10d".parse().unwrap();
        assert_eq!(keep.to_string(), "daily=10d,last=2");
        assert_eq!(keep.period(Kind::Daily), Some(Period::Hours(240)));
        assert_eq!((keep.period(Kind::Hourly), keep.last()), (None, 2));
    }

    #[test]
    fn h14_a_policy_that_cannot_be_meant_is_refused_with_what_was() {
        assert!(why("dayly=7d").contains("\"daily\""), "{}", why("dayly=7d"));
        assert!(why("every-comit=7d").contains("\"every-commit\""));
        assert!(why("within=7d").contains("\"every-commit\""));
        assert!(why("fortnightly=7d").contains("every-commit, hourly, daily"));
        assert!(why("every-commit=7m").contains("\"7d\""));
        assert!(why("every-commit=60d,hourly=30d").contains("other way round"));
        assert!(why("every-commit=forever,yearly=30y").contains("leave yearly out"));
        assert!(why("hourly=1d,hourly=2d").contains("twice"));
        assert!(why("last=1,last=2").contains("twice"));
        assert!(why("last=0").contains("write for example 3"));
        assert!(why("last=3d").contains("write for example 3"));
        assert!(why("").contains("leave it out"));
        assert!(why("7d").contains("no word with a value"));
    }
}
