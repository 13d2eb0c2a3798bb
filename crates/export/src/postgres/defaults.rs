//! Defaults of columns: literals and the few functions whose meaning is the same, in the type that the column gets.

use ebbtide_rows::{Affinity, Value};

use super::digits::Digits;
use super::encode::encode;
use super::names::PgString;
use super::pg_type::PgType;
use super::target::Target;
use crate::words::{Token, TokenKind, tokens};

/// The default as PostgreSQL has it; `None` if it has to be left out. `NULL` is what there is without one.
pub(crate) fn default_of(expression: &str, affinity: Affinity, target: Target) -> Option<String> {
    let tokens = tokens(expression);
    let inner = without_parentheses(&tokens);
    if let Some(function) = function(inner, target.pg_type) {
        return function;
    }
    let value = converted(literal(inner)?, affinity);
    if let Value::Null = value {
        return Some("NULL".to_owned());
    }
    let mut copied = Vec::new();
    encode(target, value.as_ref(), &mut copied).ok()?;
    // COPY's escapes are not SQL's.
    let text = match (&value, target.pg_type) {
        (Value::Text(text), pg_type) if pg_type != PgType::Bytea && pg_type != PgType::Boolean => {
            String::from_utf8(text.clone()).ok()?
        }
        (_, PgType::Bytea) => String::from_utf8(copied).ok()?.replacen("\\\\", "\\", 1),
        _ => String::from_utf8(copied).ok()?,
    };
    Some(match target.pg_type {
        PgType::Smallint | PgType::Integer | PgType::Bigint | PgType::Numeric(_) => text,
        PgType::Boolean => if text == "t" { "true" } else { "false" }.to_owned(),
        _ => PgString(&text).to_string(),
    })
}

fn without_parentheses<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    match tokens {
        [open, inner @ .., close] if open.is_sign("(") && close.is_sign(")") => {
            without_parentheses(inner)
        }
        tokens => tokens,
    }
}

/// A literal, or a word that SQLite takes for a text.
fn literal(tokens: &[Token<'_>]) -> Option<Value> {
    match tokens {
        [one] => match one.kind {
            TokenKind::Number => number(one.text, false),
            TokenKind::Text => Some(Value::Text(unquoted(one.text, '\'')?.into_bytes())),
            TokenKind::Bytes => bytes(one.text),
            TokenKind::Name => {
                Some(Value::Text(unquoted(one.text, one.text.chars().next()?)?.into_bytes()))
            }
            TokenKind::Word if one.is("NULL") => Some(Value::Null),
            TokenKind::Word if one.is("TRUE") => Some(Value::Integer(1)),
            TokenKind::Word if one.is("FALSE") => Some(Value::Integer(0)),
            TokenKind::Word => Some(Value::Text(one.text.as_bytes().to_vec())),
            TokenKind::Sign => None,
        },
        [sign, one]
            if one.kind == TokenKind::Number && (sign.is_sign("-") || sign.is_sign("+")) =>
        {
            number(one.text, sign.text == "-")
        }
        _ => None,
    }
}

fn number(text: &str, is_negative: bool) -> Option<Value> {
    let signed = if is_negative { format!("-{text}") } else { text.to_owned() };
    if let Ok(integer) = signed.parse::<i64>() {
        return Some(Value::Integer(integer));
    }
    signed.parse::<f64>().ok().filter(|real| real.is_finite()).map(Value::Real)
}

fn unquoted(text: &str, quote: char) -> Option<String> {
    let close = if quote == '[' { ']' } else { quote };
    let inner = text.strip_prefix(quote)?.strip_suffix(close)?;
    Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
}

fn bytes(text: &str) -> Option<Value> {
    let digits = text.get(2..)?.strip_suffix('\'')?;
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(pair).collect();
    bytes.map(Value::Blob)
}

/// What SQLite would store of it in a column of this affinity.
fn converted(value: Value, affinity: Affinity) -> Value {
    let is_numeric = matches!(affinity, Affinity::Integer | Affinity::Numeric | Affinity::Real);
    match (value, affinity) {
        (Value::Integer(integer), Affinity::Text) => Value::Text(integer.to_string().into_bytes()),
        (Value::Real(real), Affinity::Text) => Value::Text(format!("{real:?}").into_bytes()),
        #[allow(clippy::cast_precision_loss, reason = "as SQLite does")]
        (Value::Integer(integer), Affinity::Real) => Value::Real(integer as f64),
        (Value::Text(text), _) if is_numeric => {
            let read = Digits::of(&text).and_then(|_| std::str::from_utf8(&text).ok());
            let read = read.and_then(|text| number(text, false));
            read.map_or(Value::Text(text), |number| converted(number, affinity))
        }
        (value, _) => value,
    }
}

/// A function of the time, in UTC as SQLite's are: `None` if it is no function, and `Some(None)` if it has to be left out.
#[allow(clippy::option_option, reason = "what is no function is tried as a literal")]
fn function(tokens: &[Token<'_>], pg_type: PgType) -> Option<Option<String>> {
    let is_now = |name: &str| {
        let [word, open, now, close] = tokens else { return false };
        word.is(name) && open.is_sign("(") && now.text == "'now'" && close.is_sign(")")
    };
    let is_word = |word: &str| matches!(tokens, [one] if one.is(word));
    let format = match () {
        () if is_word("CURRENT_TIMESTAMP") || is_now("datetime") => "YYYY-MM-DD HH24:MI:SS",
        () if is_word("CURRENT_DATE") || is_now("date") => "YYYY-MM-DD",
        () if is_word("CURRENT_TIME") || is_now("time") => "HH24:MI:SS",
        () => return None,
    };
    let (has_date, has_time) = (format.starts_with('Y'), format.ends_with('S'));
    let utc = "(now() AT TIME ZONE 'UTC')";
    Some(match pg_type {
        PgType::Timestamptz if has_date && has_time => {
            Some("date_trunc('second', now())".to_owned())
        }
        PgType::Timestamp if has_date && has_time => Some(format!("date_trunc('second', {utc})")),
        PgType::Date if has_date && !has_time => Some(format!("({utc}::date)")),
        PgType::Time if !has_date => Some(format!("(date_trunc('second', {utc})::time)")),
        PgType::Text => Some(format!("to_char({utc}, '{format}')")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default(expression: &str, affinity: Affinity, pg_type: &str) -> Option<String> {
        default_of(expression, affinity, Target::plain(pg_type.parse().unwrap()))
    }

    #[test]
    fn literals_are_defaults_of_the_type_that_the_column_gets() {
        let is = |expression, affinity, pg_type, expected: &str| {
            assert_eq!(
                default(expression, affinity, pg_type).as_deref(),
                Some(expected),
                "{expression}"
            );
        };
        is("false", Affinity::Numeric, "boolean", "false");
        is("1", Affinity::Numeric, "boolean", "true");
        is("'0'", Affinity::Integer, "bigint", "0");
        is("(-5)", Affinity::Integer, "bigint", "-5");
        is("0", Affinity::Real, "double", "'0.0'");
        is("0.5", Affinity::Numeric, "numeric", "0.5");
        is("'it''s'", Affinity::Text, "text", "'it''s'");
        is("'a\\b\tc'", Affinity::Text, "text", "'a\\b\tc'");
        is("'null'", Affinity::Text, "text", "'null'");
        is("\"quoted\"", Affinity::Text, "text", "'quoted'");
        is("bare", Affinity::Text, "text", "'bare'");
        is("12", Affinity::Text, "text", "'12'");
        is("x'00fF'", Affinity::Blob, "bytea", "'\\x00ff'");
        is("NULL", Affinity::Text, "text", "NULL");
        is("'{}'", Affinity::Text, "jsonb", "'{}'");
        is("CURRENT_TIMESTAMP", Affinity::Numeric, "timestamptz", "date_trunc('second', now())");
        is(
            "(datetime('now'))",
            Affinity::Text,
            "text",
            "to_char((now() AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI:SS')",
        );
    }

    #[test]
    fn what_is_not_the_same_there_is_left_out() {
        for (expression, pg_type) in [
            ("(random())", "bigint"),
            ("(strftime('%s', 'now'))", "bigint"),
            ("'none'", "timestamptz"),
            ("CURRENT_TIMESTAMP", "bigint"),
            ("2", "boolean"),
            ("(1 + 1)", "bigint"),
        ] {
            assert_eq!(default(expression, Affinity::Numeric, pg_type), None, "{expression}");
        }
    }
}
