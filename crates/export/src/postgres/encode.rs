//! One value as PostgreSQL's COPY takes it, in the type that its column gets.
//!
//! A value that the type cannot hold as it is is a [`Misfit`], and never becomes another one without a word.

use ebbtide_rows::ValueRef;

use super::cast::Reading;
use super::copy_text::{push_bytes, push_integer, push_text};
use super::digits::{Digits, shortest};
use super::epoch::{self, PointInTime};
use super::facts::{is_exact, truth};
use super::iso::{self, IsoKind};
use super::json_text::{self, JsonFit};
use super::pg_type::PgType;
use super::target::Target;
use super::uuid_text;
use crate::hex::push_hex;

/// What became of a value on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is what it was.
    None,
    /// It is written in another type, with nothing lost.
    Type,
    /// Something of it was lost.
    Loss,
}

/// Why a value is none of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Its storage class.
    Class,
    /// It is beyond the type's bounds.
    Range,
    /// It is not written as the type has it.
    Form,
    /// It has a NUL.
    Nul,
    /// It is not UTF-8.
    Encoding,
}

type Encoded = Result<Change, Misfit>;

/// Appends a value that is not NULL.
pub(crate) fn encode(target: Target, value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    match target.pg_type {
        PgType::Smallint => integer(value, i16::MIN.into(), i16::MAX.into(), out),
        PgType::Integer => integer(value, i32::MIN.into(), i32::MAX.into(), out),
        PgType::Bigint => integer(value, i64::MIN, i64::MAX, out),
        PgType::Numeric(_) => numeric(target.pg_type, value, out),
        PgType::Double => double(value, out),
        PgType::Boolean => boolean(value, out),
        PgType::Text | PgType::Varchar(_) => text(target, value, out),
        PgType::Bytea => bytes(value, out),
        PgType::Date | PgType::Time | PgType::Timestamp | PgType::Timestamptz => {
            time(target, value, out)
        }
        PgType::Json | PgType::Jsonb => json(target.pg_type, value, out),
        PgType::Uuid => uuid(value, out),
    }
}

fn integer(value: ValueRef<'_>, min: i64, max: i64, out: &mut Vec<u8>) -> Encoded {
    let (integer, change) = match value {
        ValueRef::Integer(integer) => (integer, Change::None),
        ValueRef::Real(real) => (whole(real).ok_or(Misfit::Form)?, Change::Type),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| Misfit::Encoding)?;
            let is_plain = Digits::of(text.as_bytes()).is_some();
            let read = text.parse::<i64>().ok().filter(|_| is_plain);
            (read.ok_or(Misfit::Form)?, Change::Type)
        }
        _ => return Err(Misfit::Class),
    };
    if !(min..=max).contains(&integer) {
        return Err(Misfit::Range);
    }
    push_integer(out, integer);
    Ok(change)
}

/// The integer that a real is.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked"
)]
fn whole(real: f64) -> Option<i64> {
    let is_whole = real.fract() == 0.0 && real.abs() < 9_223_372_036_854_775_807.0;
    is_whole.then_some(real as i64)
}

fn numeric(pg_type: PgType, value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    let PgType::Numeric(precision) = pg_type else { return Err(Misfit::Class) };
    let start = out.len();
    let change = match value {
        ValueRef::Integer(integer) => {
            push_integer(out, integer);
            Change::None
        }
        ValueRef::Real(real) if real.is_finite() => {
            out.extend_from_slice(shortest(real).as_bytes());
            Change::Type
        }
        ValueRef::Real(_) => return Err(Misfit::Range),
        ValueRef::Text(text) => {
            out.extend_from_slice(text);
            Change::Type
        }
        _ => return Err(Misfit::Class),
    };
    match Digits::of(&out[start..]) {
        Some(digits) if digits.fit(precision) => Ok(change),
        found => {
            out.truncate(start);
            Err(if found.is_some() { Misfit::Range } else { Misfit::Form })
        }
    }
}

fn double(value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    match value {
        ValueRef::Real(real) if real.is_infinite() => {
            let text: &[u8] = if real > 0.0 { b"Infinity" } else { b"-Infinity" };
            out.extend_from_slice(text);
            Ok(Change::None)
        }
        ValueRef::Real(real) => {
            out.extend_from_slice(shortest(real).as_bytes());
            Ok(Change::None)
        }
        ValueRef::Integer(integer) if is_exact(integer) => {
            push_integer(out, integer);
            Ok(Change::Type)
        }
        ValueRef::Integer(_) => Err(Misfit::Range),
        ValueRef::Text(text) => {
            Digits::of(text).ok_or(Misfit::Form)?;
            out.extend_from_slice(text);
            // The digits of a text are kept by a double to 15 places or so.
            Ok(Change::Loss)
        }
        _ => Err(Misfit::Class),
    }
}

fn boolean(value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    let (is_true, change) = match value {
        ValueRef::Integer(0) => (false, Change::None),
        ValueRef::Integer(1) => (true, Change::None),
        ValueRef::Integer(_) => return Err(Misfit::Range),
        ValueRef::Text(text) => (truth(text).ok_or(Misfit::Form)?, Change::Type),
        _ => return Err(Misfit::Class),
    };
    out.push(if is_true { b't' } else { b'f' });
    Ok(change)
}

fn text(target: Target, value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    let (bytes, change) = match value {
        ValueRef::Integer(integer) => {
            push_integer(out, integer);
            return Ok(Change::Type);
        }
        ValueRef::Real(real) => {
            out.extend_from_slice(shortest(real).as_bytes());
            return Ok(Change::Type);
        }
        ValueRef::Text(text) => (text, Change::None),
        ValueRef::Blob(blob) => (blob, Change::Type),
        ValueRef::Null => return Err(Misfit::Class),
    };
    let read = std::str::from_utf8(bytes).map_err(|_| Misfit::Encoding)?;
    if let PgType::Varchar(length) = target.pg_type
        && read.chars().count() > usize::try_from(length).unwrap_or(usize::MAX)
    {
        return Err(Misfit::Range);
    }
    if !bytes.contains(&0) {
        push_text(out, bytes);
        return Ok(change);
    }
    if !target.strips_nul {
        return Err(Misfit::Nul);
    }
    for part in bytes.split(|byte| *byte == 0) {
        push_text(out, part);
    }
    Ok(Change::Loss)
}

/// A number as the bytes of its digits, as SQLite casts it.
fn bytes(value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    let (bytes, change) = match value {
        ValueRef::Blob(blob) => (blob, Change::None),
        ValueRef::Text(text) => (text, Change::Type),
        ValueRef::Integer(integer) => {
            push_bytes(out, integer.to_string().as_bytes());
            return Ok(Change::Type);
        }
        ValueRef::Real(real) => {
            push_bytes(out, shortest(real).as_bytes());
            return Ok(Change::Type);
        }
        ValueRef::Null => return Err(Misfit::Class),
    };
    push_bytes(out, bytes);
    Ok(change)
}

fn time(target: Target, value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    let point = match value {
        ValueRef::Text(text) => return time_of_text(target, text, out),
        ValueRef::Integer(integer) => epoch::of_integer(integer, target.reading),
        ValueRef::Real(real) => epoch::of_real(real, target.reading),
        _ => return Err(Misfit::Class),
    };
    if matches!(target.reading, Reading::AsIs | Reading::Utc) {
        return Err(Misfit::Class);
    }
    let point = point.ok_or(Misfit::Range)?;
    let written = point.written().ok_or(Misfit::Range)?;
    match target.pg_type {
        PgType::Date if point.is_midnight() => {
            out.extend_from_slice(written.split(' ').next().unwrap_or_default().as_bytes());
        }
        PgType::Date => return Err(Misfit::Form),
        PgType::Timestamptz => out.extend_from_slice(format!("{written}+00").as_bytes()),
        _ => out.extend_from_slice(written.as_bytes()),
    }
    let PointInTime { is_rounded, .. } = point;
    Ok(if is_rounded { Change::Loss } else { Change::Type })
}

fn time_of_text(target: Target, text: &[u8], out: &mut Vec<u8>) -> Encoded {
    let iso = iso::parse(text).ok_or(Misfit::Form)?;
    let is_utc = target.reading == Reading::Utc;
    let fits = match target.pg_type {
        PgType::Date => iso.kind == IsoKind::Date,
        PgType::Time => iso.kind == IsoKind::Time,
        PgType::Timestamp => matches!(iso.kind, IsoKind::Date | IsoKind::Plain),
        PgType::Timestamptz if is_utc => iso.kind != IsoKind::Time,
        _ => iso.kind == IsoKind::Zoned,
    };
    if !fits {
        return Err(Misfit::Form);
    }
    out.extend_from_slice(text);
    if is_utc {
        match iso.kind {
            IsoKind::Date => out.extend_from_slice(b" 00:00:00+00"),
            IsoKind::Plain => out.extend_from_slice(b"+00"),
            IsoKind::Time | IsoKind::Zoned => {}
        }
    }
    Ok(if iso.is_too_fine { Change::Loss } else { Change::Type })
}

fn json(pg_type: PgType, value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    match value {
        ValueRef::Integer(integer) => push_integer(out, integer),
        ValueRef::Real(real) if real.is_finite() => {
            out.extend_from_slice(shortest(real).as_bytes());
        }
        ValueRef::Real(_) => return Err(Misfit::Range),
        ValueRef::Text(text) => {
            std::str::from_utf8(text).map_err(|_| Misfit::Encoding)?;
            let needed = if pg_type == PgType::Jsonb { JsonFit::Jsonb } else { JsonFit::Json };
            if json_text::fit(text) < needed {
                return Err(Misfit::Form);
            }
            push_text(out, text);
        }
        _ => return Err(Misfit::Class),
    }
    Ok(Change::Type)
}

fn uuid(value: ValueRef<'_>, out: &mut Vec<u8>) -> Encoded {
    match value {
        ValueRef::Text(text) => {
            uuid_text::case_of(text).ok_or(Misfit::Form)?;
            out.extend_from_slice(text);
        }
        ValueRef::Blob(blob) if blob.len() == 16 => {
            push_hex(out, blob);
        }
        ValueRef::Blob(_) => return Err(Misfit::Form),
        _ => return Err(Misfit::Class),
    }
    Ok(Change::Type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(pg_type: &str, reading: Reading, value: ValueRef<'_>) -> Result<String, Misfit> {
        let target = Target { pg_type: pg_type.parse().unwrap(), reading, strips_nul: false };
        let mut out = Vec::new();
        encode(target, value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn plain(pg_type: &str, value: ValueRef<'_>) -> Result<String, Misfit> {
        encoded(pg_type, Reading::AsIs, value)
    }

    #[test]
    fn values_are_written_in_the_type_of_their_column() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(plain("bigint", ValueRef::Integer(-7)), ok("-7"));
        assert_eq!(plain("bigint", ValueRef::Text(b"12")), ok("12"));
        assert_eq!(plain("bigint", ValueRef::Real(3.0)), ok("3"));
        assert_eq!(plain("double", ValueRef::Real(0.1)), ok("0.1"));
        assert_eq!(plain("double", ValueRef::Real(f64::NEG_INFINITY)), ok("-Infinity"));
        assert_eq!(plain("numeric(10,2)", ValueRef::Real(0.99)), ok("0.99"));
        assert_eq!(plain("boolean", ValueRef::Text(b"False")), ok("f"));
        assert_eq!(plain("text", ValueRef::Text(b"a\tb")), ok("a\\tb"));
        assert_eq!(plain("bytea", ValueRef::Text(b"a\0")), ok("\\\\x6100"));
        assert_eq!(
            plain("timestamptz", ValueRef::Text(b"2026-11-21T09:30Z")),
            ok("2026-11-21T09:30Z")
        );
        let utc = encoded("timestamptz", Reading::Utc, ValueRef::Text(b"2026-11-21 09:30:00"));
        assert_eq!(utc, ok("2026-11-21 09:30:00+00"));
        let millis = encoded("timestamptz", Reading::EpochMillis, ValueRef::Integer(1));
        assert_eq!(millis, ok("1970-01-01 00:00:00.001+00"));
        assert_eq!(plain("uuid", ValueRef::Blob(&[0xab; 16])), ok(&"ab".repeat(16)));
    }

    #[test]
    fn t31_values_that_a_type_cannot_hold_are_none() {
        assert_eq!(plain("bigint", ValueRef::Text(b"toto")), Err(Misfit::Form));
        assert_eq!(plain("bigint", ValueRef::Real(0.5)), Err(Misfit::Form));
        assert_eq!(plain("bigint", ValueRef::Real(9.3e18)), Err(Misfit::Form));
        assert_eq!(plain("smallint", ValueRef::Integer(40_000)), Err(Misfit::Range));
        assert_eq!(plain("double", ValueRef::Integer((1 << 53) + 1)), Err(Misfit::Range));
        assert_eq!(plain("numeric(4,2)", ValueRef::Real(0.125)), Err(Misfit::Range));
        assert_eq!(plain("numeric", ValueRef::Real(f64::INFINITY)), Err(Misfit::Range));
        assert_eq!(plain("boolean", ValueRef::Integer(2)), Err(Misfit::Range));
        assert_eq!(plain("text", ValueRef::Text(b"a\0")), Err(Misfit::Nul));
        assert_eq!(plain("text", ValueRef::Text(b"\xff")), Err(Misfit::Encoding));
        assert_eq!(plain("date", ValueRef::Integer(0)), Err(Misfit::Class));
        assert_eq!(plain("timestamptz", ValueRef::Text(b"2026-11-21 09:30")), Err(Misfit::Form));
        assert_eq!(plain("uuid", ValueRef::Integer(1)), Err(Misfit::Class));
        assert_eq!(plain("bytea", ValueRef::Integer(12)), Ok("\\\\x3132".to_owned()));
        assert_eq!(plain("uuid", ValueRef::Blob(b"short")), Err(Misfit::Form));
    }

    #[test]
    fn nul_is_taken_out_only_on_request() {
        let target = Target { strips_nul: true, ..Target::plain(PgType::Text) };
        let mut out = Vec::new();
        assert_eq!(encode(target, ValueRef::Text(b"a\0b\0"), &mut out), Ok(Change::Loss));
        assert_eq!(out, b"ab");
    }
}
