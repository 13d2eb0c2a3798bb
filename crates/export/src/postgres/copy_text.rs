//! PostgreSQL's COPY text format: a line for each row, with tabs between values.

use crate::hex::push_hex;

/// What stands for NULL.
pub(crate) const NULL: &[u8] = b"\\N";

/// Appends text, with what has a meaning in the format escaped.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t'))
    {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            byte => byte,
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends bytes in the form of `bytea`.
pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\\\\x");
    push_hex(out, bytes);
}

/// Appends an integer.
pub(crate) fn push_integer(out: &mut Vec<u8>, integer: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = integer.unsigned_abs();
    loop {
        at -= 1;
        // A digit.
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if integer < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_gives_a_meaning_is_escaped() {
        let mut out = Vec::new();
        push_text(&mut out, "a\tb\\N\nc\r\\.é".as_bytes());
        assert_eq!(out, "a\\tb\\\\N\\nc\\r\\\\.é".as_bytes());
        out.clear();
        push_bytes(&mut out, b"\0\xffA");
        assert_eq!(out, b"\\\\x00ff41");
    }

    #[test]
    fn integers_are_written_out() {
        for integer in [0, 7, -1, 10, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_integer(&mut out, integer);
            assert_eq!(String::from_utf8(out).unwrap(), integer.to_string());
        }
    }
}
