//! UUIDs as text.

/// In which letters one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UuidCase {
    /// It has digits alone.
    Neither,
    /// `a` to `f`, as PostgreSQL writes them.
    Lower,
    /// `A` to `F`.
    Upper,
    /// Both.
    Mixed,
}

/// Reads `8-4-4-4-12` hexadecimal digits.
pub(crate) fn case_of(text: &[u8]) -> Option<UuidCase> {
    if text.len() != 36 {
        return None;
    }
    let (mut has_lower, mut has_upper) = (false, false);
    for (index, byte) in text.iter().enumerate() {
        match (index, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => {}
            (_, b'a'..=b'f') => has_lower = true,
            (_, b'A'..=b'F') => has_upper = true,
            _ => return None,
        }
    }
    Some(match (has_lower, has_upper) {
        (false, false) => UuidCase::Neither,
        (true, false) => UuidCase::Lower,
        (false, true) => UuidCase::Upper,
        (true, true) => UuidCase::Mixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_is_a_uuid() {
        assert_eq!(case_of(b"0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11"), Some(UuidCase::Lower));
        assert_eq!(case_of(b"0190D6B2-7C1E-7CC8-9D0A-2F9B5F0C1A11"), Some(UuidCase::Upper));
        assert_eq!(case_of(b"00000000-0000-0000-0000-000000000000"), Some(UuidCase::Neither));
        for none in
            ["", "0190d6b27c1e7cc89d0a2f9b5f0c1a11", "{0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11}"]
        {
            assert_eq!(case_of(none.as_bytes()), None, "{none}");
        }
    }
}
