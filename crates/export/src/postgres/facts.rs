//! What is known of the values of a column after all of them were looked at: the first of two passes.

use ebbtide_rows::ValueRef;

use super::digits::Digits;
use super::family::Family;
use super::iso::{self, IsoForm, IsoKind};
use super::json_text::{self, JsonFit};
use super::probe::Probe;
use super::uuid_text::{self, UuidCase};

/// Counts and extremes.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) nulls: u64,
    pub(crate) integers: u64,
    pub(crate) reals: u64,
    pub(crate) texts: u64,
    pub(crate) blobs: u64,
    pub(crate) integer_min: i64,
    pub(crate) integer_max: i64,
    /// Integers that no double is.
    pub(crate) inexact_integers: u64,
    pub(crate) real_min: f64,
    pub(crate) real_max: f64,
    /// The longest text or blob.
    pub(crate) bytes_max: usize,
    pub(crate) nul_texts: u64,
    /// Texts that are not UTF-8.
    pub(crate) bad_texts: u64,
    /// Blobs of as many bytes as a UUID.
    pub(crate) uuid_blobs: u64,
    pub(crate) iso: Probe,
    pub(crate) iso_facts: IsoFacts,
    pub(crate) json: Probe,
    /// Those of them that `jsonb` cannot hold.
    pub(crate) json_only: u64,
    pub(crate) uuid: Probe,
    pub(crate) uuid_lower: u64,
    pub(crate) uuid_upper: u64,
    /// Texts that say true or false.
    pub(crate) words: Probe,
    pub(crate) decimals: Probe,
}

/// What is known of those that are dates and times.
#[derive(Debug, Clone, Default)]
pub(crate) struct IsoFacts {
    pub(crate) dates: u64,
    pub(crate) times: u64,
    pub(crate) plain: u64,
    pub(crate) zoned: u64,
    /// Those with digits beyond the microsecond.
    pub(crate) too_fine: u64,
    form: Option<IsoForm>,
    has_several_forms: bool,
}

/// Every integer up to it is a double.
const EXACT_MAX: i64 = 1 << 53;

impl Facts {
    /// Nothing was looked at yet.
    pub(crate) fn new(family: Family) -> Facts {
        let asked = |is_meant: bool| if is_meant { Probe::of_all() } else { Probe::until_a_miss() };
        Facts {
            nulls: 0,
            integers: 0,
            reals: 0,
            texts: 0,
            blobs: 0,
            integer_min: i64::MAX,
            integer_max: i64::MIN,
            inexact_integers: 0,
            real_min: f64::INFINITY,
            real_max: f64::NEG_INFINITY,
            bytes_max: 0,
            nul_texts: 0,
            bad_texts: 0,
            uuid_blobs: 0,
            iso: asked(family.is_temporal()),
            iso_facts: IsoFacts::default(),
            json: asked(family == Family::Json),
            json_only: 0,
            uuid: asked(family == Family::Uuid),
            uuid_lower: 0,
            uuid_upper: 0,
            words: asked(family == Family::Boolean),
            decimals: asked(family == Family::Decimal),
        }
    }

    /// Looks at one value.
    pub(crate) fn see(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.nulls += 1,
            ValueRef::Integer(integer) => self.see_integer(integer),
            ValueRef::Real(real) => {
                self.reals += 1;
                self.real_min = self.real_min.min(real);
                self.real_max = self.real_max.max(real);
            }
            ValueRef::Text(text) => self.see_text(text),
            ValueRef::Blob(blob) => {
                self.blobs += 1;
                self.bytes_max = self.bytes_max.max(blob.len());
                self.uuid_blobs += u64::from(blob.len() == 16);
            }
        }
    }

    fn see_integer(&mut self, integer: i64) {
        self.integers += 1;
        self.integer_min = self.integer_min.min(integer);
        self.integer_max = self.integer_max.max(integer);
        self.inexact_integers += u64::from(!is_exact(integer));
    }

    fn see_text(&mut self, text: &[u8]) {
        self.texts += 1;
        self.bytes_max = self.bytes_max.max(text.len());
        self.nul_texts += u64::from(text.contains(&0));
        self.bad_texts += u64::from(std::str::from_utf8(text).is_err());
        let facts = &mut self.iso_facts;
        self.iso.ask(text, |text| iso::parse(text).map(|iso| facts.see(iso)).is_some());
        let only = &mut self.json_only;
        self.json.ask(text, |text| {
            let fit = json_text::fit(text);
            *only += u64::from(fit == JsonFit::Json);
            fit != JsonFit::None
        });
        let (lower, upper) = (&mut self.uuid_lower, &mut self.uuid_upper);
        self.uuid.ask(text, |text| {
            let case = uuid_text::case_of(text);
            *lower += u64::from(matches!(case, Some(UuidCase::Lower | UuidCase::Mixed)));
            *upper += u64::from(matches!(case, Some(UuidCase::Upper | UuidCase::Mixed)));
            case.is_some()
        });
        self.words.ask(text, |text| truth(text).is_some());
        self.decimals.ask(text, |text| Digits::of(text).is_some());
    }

    /// Values that are there.
    pub(crate) fn values(&self) -> u64 {
        self.integers + self.reals + self.texts + self.blobs
    }

    /// How many storage classes they are of.
    pub(crate) fn classes(&self) -> usize {
        [self.integers, self.reals, self.texts, self.blobs]
            .iter()
            .filter(|count| **count > 0)
            .count()
    }

    pub(crate) fn is_all_integers(&self) -> bool {
        self.integers > 0 && self.integers == self.values()
    }

    pub(crate) fn is_all_texts(&self) -> bool {
        self.texts > 0 && self.texts == self.values()
    }

    pub(crate) fn is_all_blobs(&self) -> bool {
        self.blobs > 0 && self.blobs == self.values()
    }

    pub(crate) fn is_all_numbers(&self) -> bool {
        self.values() > 0 && self.integers + self.reals == self.values()
    }

    /// Whether a double is each of the numbers.
    pub(crate) fn are_numbers_doubles(&self) -> bool {
        self.is_all_numbers() && self.inexact_integers == 0
    }

    pub(crate) fn has_infinity(&self) -> bool {
        self.reals > 0 && (self.real_min.is_infinite() || self.real_max.is_infinite())
    }

    /// How many there are of each storage class, in words: `3 integers, 1 text`.
    pub(crate) fn in_words(&self) -> String {
        let kinds = [
            (self.integers, "integer"),
            (self.reals, "real"),
            (self.texts, "text"),
            (self.blobs, "blob"),
        ];
        let some = kinds.iter().filter(|(count, _)| *count > 0);
        let words = some.map(|(count, name)| {
            let plural = if *count == 1 { "" } else { "s" };
            format!("{count} {name}{plural}")
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl IsoFacts {
    fn see(&mut self, iso: iso::IsoText) {
        match iso.kind {
            IsoKind::Date => self.dates += 1,
            IsoKind::Time => self.times += 1,
            IsoKind::Plain => self.plain += 1,
            IsoKind::Zoned => self.zoned += 1,
        }
        self.too_fine += u64::from(iso.is_too_fine);
        self.has_several_forms |= self.form.is_some_and(|form| form != iso.form);
        self.form = Some(iso.form);
    }

    /// Whether two texts that differ are two times.
    pub(crate) fn is_of_one_form(&self) -> bool {
        !self.has_several_forms
    }
}

/// Whether a double is this integer.
pub(crate) fn is_exact(integer: i64) -> bool {
    let size = integer.unsigned_abs();
    size <= EXACT_MAX.unsigned_abs() || 64 - size.leading_zeros() - size.trailing_zeros() <= 53
}

/// What a text says that SQLite's applications write for a boolean.
pub(crate) fn truth(text: &[u8]) -> Option<bool> {
    let is = |words: &[&[u8]]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&[b"t", b"true"]) {
        return Some(true);
    }
    is(&[b"f", b"false"]).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_exact_if_a_double_is_it() {
        for exact in [0, -1, EXACT_MAX, -EXACT_MAX, EXACT_MAX + 2, i64::MIN, 1 << 62] {
            assert!(is_exact(exact), "{exact}");
        }
        for inexact in [EXACT_MAX + 1, -EXACT_MAX - 1, i64::MAX, i64::MIN + 1] {
            assert!(!is_exact(inexact), "{inexact}");
        }
    }

    #[test]
    fn values_are_counted_by_class_and_kind() {
        let mut facts = Facts::new(Family::Timestamp);
        for text in ["2026-11-21", "2026-11-21 09:30:00", "toto", "a\0b"] {
            facts.see(ValueRef::Text(text.as_bytes()));
        }
        facts.see(ValueRef::Text(b"\xff"));
        facts.see(ValueRef::Integer(7));
        facts.see(ValueRef::Null);
        assert_eq!(facts.in_words(), "1 integer, 5 texts");
        assert_eq!((facts.iso.hits, facts.iso.misses, facts.nulls), (2, 3, 1));
        assert_eq!((facts.nul_texts, facts.bad_texts, facts.classes()), (1, 1, 2));
        assert_eq!(facts.iso.first_miss.as_deref(), Some(&b"toto"[..]));
        assert!(!facts.iso_facts.is_of_one_form());
    }
}
