//! Which type a column gets: from its declaration, and from the values that are there.
//!
//! No value is changed by a type that is chosen here without a finding that says so, and where only a person can choose,
//! the finding is a refusal that says which words there are.

use super::choice::{Asked, Choice, cast, miss};
use super::family::Family;
use super::pg_type::PgType;
use super::stored::{as_text_can_be, mixed, stored};
use super::temporal::{iso_type, temporal};
use crate::report::{Finding, FindingKind};

/// Chooses.
pub(crate) fn decide(asked: &Asked<'_>) -> Choice {
    let choice = match asked.facts.values() {
        0 => of_declaration(asked),
        _ => of_values(asked),
    };
    as_text_can_be(asked, choice)
}

/// The type of storage classes alone, for a column whose meaning is not to be seen in its values, or not to be kept.
pub(crate) fn by_storage(asked: &Asked<'_>) -> Choice {
    let choice = stored(asked, None).unwrap_or_else(|| mixed(asked));
    as_text_can_be(asked, choice)
}

fn of_values(asked: &Asked<'_>) -> Choice {
    match asked.family {
        Family::Integer => integer(asked),
        Family::Boolean => boolean(asked),
        Family::Real => real(asked),
        Family::Decimal => decimal(asked),
        Family::Date | Family::Time | Family::Timestamp => temporal(asked),
        Family::Json => json(asked),
        Family::Uuid => uuid(asked),
        Family::Text => text(asked),
        Family::Blob => blob(asked),
        Family::Other => other(asked),
    }
}

/// Without values, the declaration is all there is.
fn of_declaration(asked: &Asked<'_>) -> Choice {
    let has_zone =
        ["ZONE", "TZ"].iter().any(|word| asked.declared.to_ascii_uppercase().contains(word));
    let pg_type = match asked.family {
        Family::Integer => PgType::Bigint,
        Family::Boolean => PgType::Boolean,
        Family::Real => PgType::Double,
        Family::Decimal => PgType::Numeric(None),
        Family::Date => PgType::Date,
        Family::Time => PgType::Time,
        Family::Timestamp if has_zone => PgType::Timestamptz,
        Family::Timestamp => PgType::Timestamp,
        Family::Json => PgType::Jsonb,
        Family::Uuid => PgType::Uuid,
        Family::Text => PgType::Text,
        Family::Blob => PgType::Bytea,
        Family::Other => PgType::Text,
    };
    let is_plain = matches!(pg_type, PgType::Bigint | PgType::Double | PgType::Bytea)
        || asked.family == Family::Text;
    if is_plain {
        return Choice::plain(pg_type);
    }
    let declared = if asked.declared.is_empty() { "nothing" } else { asked.declared };
    let what = format!("no values: {pg_type} because {declared} was declared");
    Choice::with(pg_type, Finding::new(FindingKind::Hint, what).word(cast(asked, "TYPE")))
}

fn integer(asked: &Asked<'_>) -> Choice {
    if asked.facts.is_all_integers() {
        return Choice::plain(PgType::Bigint);
    }
    stored(asked, Some("none is an integer")).unwrap_or_else(|| mixed(asked))
}

fn boolean(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    if facts.is_all_integers() && facts.integer_min >= 0 && facts.integer_max <= 1 {
        return Choice::plain(PgType::Boolean);
    }
    if facts.is_all_integers() {
        let range = format!("from {} to {}, so not boolean", facts.integer_min, facts.integer_max);
        return Choice::with(PgType::Bigint, Finding::coerced(range).of(facts.integers));
    }
    if facts.is_all_texts() && facts.words.is_all() {
        let finding = Finding::coerced("texts such as true and false stay text");
        return Choice::with(PgType::Text, finding.of(facts.texts).word(cast(asked, "boolean")));
    }
    stored(asked, Some("not 0 and 1")).unwrap_or_else(|| mixed(asked))
}

fn real(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    if facts.reals == facts.values() {
        return Choice::plain(PgType::Double);
    }
    stored(asked, Some("not all are reals")).unwrap_or_else(|| mixed(asked))
}

fn decimal(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    if facts.is_all_integers() {
        return Choice::plain(PgType::Numeric(None));
    }
    if facts.are_numbers_doubles() {
        let finding =
            Finding::coerced("was binary floating point, which double precision keeps to the bit");
        let choice = Choice::with(PgType::Double, finding.of(facts.reals));
        if facts.has_infinity() {
            return choice;
        }
        let Choice { target, findings } = choice;
        let word = cast(asked, "numeric");
        return Choice {
            target,
            findings: findings.into_iter().map(|finding| finding.word(word.clone())).collect(),
        };
    }
    let are_decimals = facts.decimals.is_all() && facts.integers + facts.texts == facts.values();
    if are_decimals && !asked.is_key {
        let finding = Finding::coerced("texts of decimal digits became numbers").of(facts.texts);
        return Choice::with(PgType::Numeric(None), finding);
    }
    stored(asked, Some("not all are numbers")).unwrap_or_else(|| mixed(asked))
}

fn json(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    let can_be = facts.blobs == 0
        && facts.json.misses == 0
        && facts.bad_texts == 0
        && !facts.has_infinity()
        && !asked.is_key;
    if can_be && facts.json_only == 0 {
        let finding =
            Finding::coerced("became jsonb, which keeps neither blanks nor the order of members");
        return Choice::with(PgType::Jsonb, finding.of(facts.values()).word(cast(asked, "json")));
    }
    if can_be {
        let finding = Finding::coerced("became json, because jsonb would lose a part of some");
        return Choice::with(PgType::Json, finding.of(facts.json_only));
    }
    let why = miss("not all are JSON", &facts.json);
    let why = if asked.is_key { "part of a key" } else { &why };
    stored(asked, Some(why)).unwrap_or_else(|| mixed(asked))
}

fn uuid(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    let is_one_case = facts.uuid_lower == 0 || facts.uuid_upper == 0;
    if facts.is_all_texts() && facts.uuid.is_all() && (is_one_case || !asked.is_key) {
        let choice = Choice::plain(PgType::Uuid);
        if facts.uuid_upper == 0 {
            return choice;
        }
        let finding = Finding::coerced("capital letters became small ones").of(facts.uuid_upper);
        return Choice::with(PgType::Uuid, finding.word(cast(asked, "text")));
    }
    if facts.is_all_blobs() && facts.uuid_blobs == facts.blobs {
        let finding = Finding::coerced("blobs of 16 bytes became uuid").of(facts.blobs);
        return Choice::with(PgType::Uuid, finding.word(cast(asked, "bytea")));
    }
    let why = miss("not all are UUIDs", &facts.uuid);
    stored(asked, Some(&why)).unwrap_or_else(|| mixed(asked))
}

fn text(asked: &Asked<'_>) -> Choice {
    let facts = asked.facts;
    if !facts.is_all_texts() {
        return stored(asked, Some("none is text")).unwrap_or_else(|| mixed(asked));
    }
    match better_than_text(asked) {
        Some(better) => {
            let hint = Finding::new(FindingKind::Hint, format!("each of them could be {better}"));
            Choice::with(PgType::Text, hint.of(facts.texts).word(cast(asked, &better.to_string())))
        }
        None => Choice::plain(PgType::Text),
    }
}

/// The type that all texts of a column without a meaning have, which nobody has asked for.
fn better_than_text(asked: &Asked<'_>) -> Option<PgType> {
    let (facts, iso) = (asked.facts, &asked.facts.iso_facts);
    let is_one_kind = (iso.zoned == 0 || iso.zoned == facts.texts)
        && (iso.times == 0 || iso.times == facts.texts);
    match () {
        () if facts.uuid.is_all() => Some(PgType::Uuid),
        () if facts.iso.is_all() && is_one_kind && iso.too_fine == 0 => Some(iso_type(asked)),
        // A number or a word is JSON, too.
        () if facts.json.is_all()
            && facts.json_only == 0
            && !facts.decimals.is_all()
            && !facts.words.is_all() =>
        {
            Some(PgType::Jsonb)
        }
        () => None,
    }
}

fn blob(asked: &Asked<'_>) -> Choice {
    if asked.facts.is_all_blobs() {
        return Choice::plain(PgType::Bytea);
    }
    stored(asked, Some("none is a blob")).unwrap_or_else(|| mixed(asked))
}

fn other(asked: &Asked<'_>) -> Choice {
    let declared = match asked.declared {
        "" => "without a declared type".to_owned(),
        declared => format!("{declared} is no type of PostgreSQL's"),
    };
    stored(asked, Some(&declared)).unwrap_or_else(|| mixed(asked))
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::*;
    use crate::nul::NulPolicy;
    use ebbtide_rows::Value;

    fn choice_with(declared: &str, values: &[Value], is_key: bool, nul: NulPolicy) -> Choice {
        let family = Family::of(declared);
        let mut facts = Facts::new(family);
        for value in values {
            facts.see(value.as_ref());
        }
        decide(&Asked { declared, family, facts: &facts, is_key, name: "t.c", nul })
    }

    fn choice(declared: &str, values: &[Value]) -> Choice {
        choice_with(declared, values, false, NulPolicy::Refuse)
    }

    fn texts(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|text| Value::Text(text.as_bytes().to_vec())).collect()
    }

    fn integers(integers: &[i64]) -> Vec<Value> {
        integers.iter().map(|integer| Value::Integer(*integer)).collect()
    }

    /// The type, and the kinds of findings.
    fn found(choice: &Choice) -> (String, Vec<FindingKind>) {
        let kinds = choice.findings.iter().map(|finding| finding.kind).collect();
        (choice.target.pg_type.to_string(), kinds)
    }

    #[track_caller]
    fn becomes(declared: &str, values: &[Value], pg_type: &str, kinds: &[FindingKind]) {
        let choice = choice(declared, values);
        assert_eq!(found(&choice), (pg_type.to_owned(), kinds.to_vec()), "{declared}: {choice:?}");
    }

    const COERCED: &[FindingKind] = &[FindingKind::Coerced];
    const REFUSED: &[FindingKind] = &[FindingKind::Refused];
    const HINT: &[FindingKind] = &[FindingKind::Hint];

    #[test]
    fn values_decide_within_what_was_declared() {
        becomes("INTEGER", &integers(&[1, i64::MAX]), "bigint", &[]);
        becomes("BOOLEAN", &integers(&[0, 1]), "boolean", &[]);
        becomes("BOOLEAN", &integers(&[0, 2]), "bigint", COERCED);
        becomes("BOOLEAN", &texts(&["t", "f"]), "text", COERCED);
        becomes("REAL", &[Value::Real(0.5)], "double precision", &[]);
        becomes("DECIMAL(10,2)", &integers(&[14]), "numeric", &[]);
        becomes(
            "DECIMAL(10,2)",
            &[Value::Integer(14), Value::Real(0.99)],
            "double precision",
            COERCED,
        );
        becomes("DATE", &texts(&["2026-11-21"]), "date", COERCED);
        becomes("DATETIME", &texts(&["2026-11-21 09:30:00", "2026-11-21"]), "timestamp", COERCED);
        becomes("TIMESTAMP", &texts(&["2026-11-21T09:30:00Z"]), "timestamptz", COERCED);
        becomes("DATETIME", &integers(&[1_627_303_906_122]), "bigint", COERCED);
        becomes("DATETIME", &texts(&["2026-11-21 09:30:00", "toto"]), "text", COERCED);
        becomes(
            "DATETIME",
            &texts(&["2026-11-21 09:30:00", "2026-11-21 09:30:00Z"]),
            "text",
            COERCED,
        );
        becomes("DATETIME", &texts(&["2026-11-21 09:30:00.123456789+00:00"]), "text", COERCED);
        becomes("TEXT", &texts(&["x", "null"]), "text", &[]);
        becomes("TEXT", &texts(&["2026-11-21"]), "text", HINT);
        becomes("BLOB", &[Value::Blob(vec![1])], "bytea", &[]);
        becomes("JSON", &texts(&["{}", "[1]"]), "jsonb", COERCED);
        becomes("JSON", &texts(&["{\"a\":1,\"a\":2}"]), "json", COERCED);
        becomes("JSON", &texts(&["{a:1}"]), "text", COERCED);
        becomes("UUID", &texts(&["0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11"]), "uuid", &[]);
        becomes("UUID", &[Value::Blob(vec![7; 16])], "uuid", COERCED);
        becomes("UUID", &texts(&["none"]), "text", COERCED);
        becomes("", &integers(&[1]), "bigint", COERCED);
        becomes("", &[], "text", HINT);
        becomes("VARCHAR(3)", &[], "text", &[]);
    }

    #[test]
    fn a_hint_says_in_which_unit_numbers_seem_to_be() {
        let word = |values: &[Value]| choice("DATETIME", values).findings[0].word.clone().unwrap();
        assert_eq!(word(&integers(&[1_627_303_906_122])), "--cast 't.c=timestamptz:epoch-ms'");
        assert_eq!(word(&integers(&[1_627_303_906])), "--cast 't.c=timestamptz:epoch'");
        assert_eq!(word(&[Value::Real(2_459_422.5)]), "--cast 't.c=timestamptz:julian'");
    }

    #[test]
    fn t31_what_only_a_person_can_decide_is_refused() {
        let mixed = [Value::Integer(1), Value::Text(b"toto".to_vec())];
        becomes("INTEGER", &mixed, "text", REFUSED);
        becomes("INTEGER", &[Value::Integer(1), Value::Real(0.5)], "text", REFUSED);
        becomes("REAL", &[Value::Real(1.0), Value::Text(b"toto".to_vec())], "text", REFUSED);
        becomes("BLOB", &[Value::Blob(vec![1]), Value::Text(b"a".to_vec())], "text", REFUSED);
        becomes("", &[Value::Integer((1 << 53) + 1), Value::Real(0.5)], "text", REFUSED);
        becomes("TEXT", &texts(&["a\0b"]), "text", REFUSED);
        becomes("TEXT", &[Value::Text(vec![0xff])], "text", REFUSED);
        let refused = choice("INTEGER", &mixed);
        assert_eq!(refused.findings[0].word.as_deref(), Some("--cast 't.c=text'"));
        assert_eq!(
            refused.findings[0].what,
            "values of several storage classes: 1 integer, 1 text"
        );
    }

    #[test]
    fn t31_text_with_nul_goes_as_was_said() {
        let nul = texts(&["a\0b", "c"]);
        let bytea = choice_with("TEXT", &nul, false, NulPolicy::Bytea);
        assert_eq!(bytea.target.pg_type, PgType::Bytea);
        let strip = choice_with("TEXT", &nul, false, NulPolicy::Strip);
        assert!(strip.target.strips_nul && strip.findings[0].count == Some(1));
        let key = choice_with("TEXT", &nul, true, NulPolicy::Strip);
        assert_eq!(key.findings[0].kind, FindingKind::Refused);
    }

    /// Two texts that differ and are one time, or one UUID, would be one key.
    #[test]
    fn t31_keys_that_would_become_equal_stay_what_they_are() {
        let times = texts(&["2026-11-21 09:30:00", "2026-11-21T09:30:00"]);
        assert_eq!(
            choice_with("DATETIME", &times, true, NulPolicy::Refuse).target.pg_type,
            PgType::Text
        );
        assert_eq!(
            choice_with("DATETIME", &times, false, NulPolicy::Refuse).target.pg_type,
            PgType::Timestamp
        );
        let id = "0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11";
        let uuids = texts(&[id, &id.to_uppercase()]);
        assert_eq!(
            choice_with("UUID", &uuids, true, NulPolicy::Refuse).target.pg_type,
            PgType::Text
        );
        assert_eq!(
            choice_with("JSON", &texts(&["1"]), true, NulPolicy::Refuse).target.pg_type,
            PgType::Text
        );
    }
}
