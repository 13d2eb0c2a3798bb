//! A value as JSON.

use serde_json::{Value as Json, json as object};

use super::hex::hex;
use super::value::ValueRef;

/// Integers and text as they are, reals as numbers that read back to the bit, and by name what JSON has no form for:
/// `{"blob":"hex"}`, `{"text":"hex"}` for text that is not UTF-8 or has NUL, `{"real":"inf"}`.
#[must_use]
pub fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(integer) => integer.into(),
        ValueRef::Real(real) if real.is_finite() => real.into(),
        ValueRef::Real(real) => object!({ "real": if real > 0.0 { "inf" } else { "-inf" } }),
        ValueRef::Text(text) => match value.plain_text() {
            Some(plain) => plain.into(),
            None => object!({ "text": hex(text) }),
        },
        ValueRef::Blob(blob) => object!({ "blob": hex(blob) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_apart_and_reals_read_back() {
        let text = |value| json(value).to_string();
        assert_eq!(text(ValueRef::Integer(1)), "1");
        assert_eq!(text(ValueRef::Real(1.0)), "1.0");
        assert_eq!(text(ValueRef::Real(0.1 + 0.2)), "0.30000000000000004");
        assert_eq!(text(ValueRef::Real(f64::NEG_INFINITY)), r#"{"real":"-inf"}"#);
        assert_eq!(text(ValueRef::Text(b"it's")), r#""it's""#);
        assert_eq!(text(ValueRef::Text(b"a\0")), r#"{"text":"6100"}"#);
        assert_eq!(text(ValueRef::Blob(b"\x01\xff")), r#"{"blob":"01ff"}"#);
    }
}
