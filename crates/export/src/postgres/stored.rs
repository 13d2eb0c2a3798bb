//! The type of storage classes alone.

use super::choice::{Asked, Choice, cast};
use super::family::Family;
use super::pg_type::PgType;
use crate::nul::NulPolicy;
use crate::report::{Finding, FindingKind};

/// The type of the one storage class that all values have. `why` says why the declaration does not count.
pub(super) fn stored(asked: &Asked<'_>, why: Option<&str>) -> Option<Choice> {
    let facts = asked.facts;
    let pg_type = match () {
        () if facts.is_all_integers() => PgType::Bigint,
        () if facts.are_numbers_doubles() => PgType::Double,
        () if facts.is_all_texts() => PgType::Text,
        () if facts.is_all_blobs() => PgType::Bytea,
        () => return None,
    };
    // In a column that was declared to have integers, other numbers are a mistake of somebody's.
    let is_doubtful = facts.classes() > 1
        && matches!(asked.family, Family::Integer | Family::Boolean | Family::Text | Family::Blob);
    if is_doubtful {
        return None;
    }
    let Some(why) = why else { return Some(Choice::plain(pg_type)) };
    let finding = Finding::coerced(format!("{pg_type} by its values: {why}")).of(facts.values());
    Some(Choice::with(pg_type, finding.word(cast(asked, "TYPE"))))
}

/// Storage classes that no type has together.
pub(super) fn mixed(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    let what = format!("values of several storage classes: {}", facts.in_words());
    let word = match () {
        () if facts.is_all_numbers() && !facts.has_infinity() => cast(asked, "numeric"),
        () if facts.integers + facts.reals > 0 && facts.blobs == 0 => cast(asked, "text"),
        () if facts.blobs > 0 => cast(asked, "bytea"),
        () => cast(asked, "TYPE"),
    };
    Choice::with(PgType::Text, Finding::refused(what).of(facts.values()).word(word))
}

/// What PostgreSQL's text cannot have is refused, or goes another way.
pub(super) fn as_text_can_be(asked: &Asked<'_>, choice: Choice) -> Choice {
    let facts = asked.facts;
    let is_refused = choice.findings.iter().any(|finding| finding.kind == FindingKind::Refused);
    if choice.target.pg_type != PgType::Text || is_refused {
        return choice;
    }
    let Choice { mut target, mut findings } = choice;
    if facts.bad_texts > 0 && !(asked.nul == NulPolicy::Bytea && facts.nul_texts > 0) {
        let finding = Finding::refused("text that is not UTF-8").of(facts.bad_texts);
        findings.push(finding.word(cast(asked, "bytea")));
    }
    if facts.nul_texts == 0 {
        return Choice { target, findings };
    }
    match asked.nul {
        NulPolicy::Refuse => {
            let finding = Finding::refused("text with NUL, which PostgreSQL's text cannot have");
            findings.push(finding.of(facts.nul_texts).word("--nul bytea, or --nul strip"));
        }
        // Numbers become bytes only where somebody says so.
        NulPolicy::Bytea if !facts.is_all_texts() => return mixed(asked),
        NulPolicy::Bytea => {
            target.pg_type = PgType::Bytea;
            findings
                .push(Finding::coerced("became bytea, because some have NUL").of(facts.nul_texts));
        }
        NulPolicy::Strip if asked.is_key => {
            let finding =
                Finding::refused("text with NUL in a key, which could be another's without it");
            findings.push(finding.of(facts.nul_texts).word("--nul bytea"));
        }
        NulPolicy::Strip => {
            target.strips_nul = true;
            findings.push(Finding::coerced("NULs were taken out").of(facts.nul_texts));
        }
    }
    Choice { target, findings }
}
