//! The type of a column that was declared as a date or a time.

use super::choice::{Asked, Choice, cast, miss};
use super::facts::Facts;
use super::pg_type::PgType;
use super::stored::{mixed, stored};
use crate::report::Finding;

pub(super) fn temporal(asked: &Asked<'_>) -> Choice {
    let (facts, iso) = (asked.facts, &asked.facts.iso_facts);
    if facts.is_all_texts() {
        let why_not = match () {
            () if !facts.iso.is_all() => miss("not all are ISO dates", &facts.iso),
            () if iso.too_fine > 0 => "finer than PostgreSQL's microseconds".to_owned(),
            () if iso.zoned > 0 && iso.zoned < facts.texts => {
                "some have a zone and some have none".to_owned()
            }
            () if iso.times > 0 && iso.times < facts.texts => {
                "some are times and some are dates".to_owned()
            }
            () if asked.is_key && !iso.is_of_one_form() => {
                "written in several ways, and part of a key".to_owned()
            }
            () => {
                let pg_type = iso_type(asked);
                let finding = Finding::coerced(format!("texts became {pg_type}")).of(facts.texts);
                return Choice::with(pg_type, finding.word(cast(asked, "text")));
            }
        };
        let finding = Finding::coerced(format!("stays text: {why_not}")).of(facts.texts);
        let word = match () {
            () if iso.too_fine == 0 => "TYPE",
            () if iso.zoned > 0 => "timestamptz",
            () => "timestamp",
        };
        let word = cast(asked, word);
        return Choice::with(PgType::Text, finding.word(word));
    }
    if facts.are_numbers_doubles() || facts.is_all_integers() {
        let pg_type = if facts.is_all_integers() { PgType::Bigint } else { PgType::Double };
        let finding = Finding::coerced("numbers stay numbers").of(facts.values());
        return Choice::with(pg_type, finding.word(cast(asked, &epoch_of(facts))));
    }
    if facts.blobs == 0 && !asked.is_key {
        let finding = Finding::coerced(format!("all became text: {}", facts.in_words()));
        return Choice::with(
            PgType::Text,
            finding.of(facts.integers + facts.reals).word(cast(asked, "TYPE")),
        );
    }
    stored(asked, Some("no dates")).unwrap_or_else(|| mixed(asked))
}

/// The type of texts that are all dates or times of one kind.
pub(super) fn iso_type(asked: &Asked<'_>) -> PgType {
    let iso = &asked.facts.iso_facts;
    match () {
        () if iso.zoned > 0 => PgType::Timestamptz,
        () if iso.times > 0 => PgType::Time,
        () if iso.plain > 0 => PgType::Timestamp,
        () => PgType::Date,
    }
}

/// What numbers of this size mean, as a type of `--cast`.
#[allow(clippy::cast_precision_loss, reason = "it is a guess by size")]
fn epoch_of(facts: &Facts) -> String {
    let integers = if facts.integers > 0 { facts.integer_max as f64 } else { f64::NEG_INFINITY };
    let reading = match integers.max(facts.real_max) {
        size if size < 1e7 && facts.reals > 0 => "julian",
        size if size < 1e11 => "epoch",
        size if size < 1e14 => "epoch-ms",
        _ => "epoch-us",
    };
    format!("timestamptz:{reading}")
}
