//! Whether a text is JSON as PostgreSQL reads it: RFC 8259, and how much of that `jsonb` can hold.
//!
//! What SQLite calls JSON can be JSON5, of which PostgreSQL knows nothing. `jsonb` keeps the last of two members with one
//! name, has no NUL in strings and numbers of a bounded size; `json` keeps the text as it is.

use std::borrow::Cow;
use std::collections::HashSet;

/// What can hold a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JsonFit {
    /// It is not JSON.
    None,
    /// `json` alone.
    Json,
    /// `jsonb`, with nothing lost but blanks and the order of members.
    Jsonb,
}

/// PostgreSQL's own reader calls itself for each level, within a stack of 2 MB.
const DEPTH_MAX: usize = 512;
/// Beyond this `numeric` might not hold a number.
const NUMBER_BYTES_MAX: usize = 1000;
const EXPONENT_MAX: u32 = 1000;

/// Reads a text.
pub(crate) fn fit(text: &[u8]) -> JsonFit {
    let mut reader = Reader { text, at: 0, is_jsonb: true };
    match reader.document() {
        Some(()) if reader.is_jsonb => JsonFit::Jsonb,
        Some(()) => JsonFit::Json,
        None => JsonFit::None,
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    is_jsonb: bool,
}

/// An array or an object that has begun.
enum Level<'a> {
    Array,
    Object(HashSet<Cow<'a, [u8]>>),
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Option<()> {
        let mut levels: Vec<Level<'a>> = Vec::new();
        loop {
            // A value begins here.
            self.blanks();
            match self.next()? {
                b'[' => {
                    self.blanks();
                    if self.peek() != Some(b']') {
                        levels.push(Level::Array);
                        if levels.len() > DEPTH_MAX {
                            return None;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b'{' => {
                    self.blanks();
                    if self.peek() != Some(b'}') {
                        let mut names = HashSet::new();
                        self.member(&mut names)?;
                        levels.push(Level::Object(names));
                        if levels.len() > DEPTH_MAX {
                            return None;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                first => self.scalar(first)?,
            }
            // A value has ended, and with it perhaps those around it.
            loop {
                self.blanks();
                let Some(level) = levels.last_mut() else {
                    return (self.at == self.text.len()).then_some(());
                };
                match (self.next()?, level) {
                    (b',', Level::Array) => break,
                    (b',', Level::Object(names)) => {
                        self.blanks();
                        let mut known = std::mem::take(names);
                        self.member(&mut known)?;
                        *names = known;
                        break;
                    }
                    (b']', Level::Array) | (b'}', Level::Object(_)) => {
                        levels.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// The name of a member and its colon.
    fn member(&mut self, names: &mut HashSet<Cow<'a, [u8]>>) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        let name = self.string()?;
        if !names.insert(name) {
            self.is_jsonb = false;
        }
        self.blanks();
        (self.next()? == b':').then_some(())
    }

    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            b'-' | b'0'..=b'9' => self.number(first),
            _ => None,
        }
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        let end = self.at + rest.len();
        let is_it = self.text.get(self.at..end)? == rest;
        self.at = end;
        is_it.then_some(())
    }

    fn number(&mut self, first: u8) -> Option<()> {
        let begin = self.at - 1;
        let leading = if first == b'-' { self.next()? } else { first };
        match leading {
            b'0' => {}
            b'1'..=b'9' => {
                self.digits();
            }
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let from = self.at;
            if self.digits() == 0 {
                return None;
            }
            let digits = std::str::from_utf8(&self.text[from..self.at]).ok();
            let exponent = digits.and_then(|digits| digits.parse::<u32>().ok());
            self.is_jsonb &= exponent.is_some_and(|exponent| exponent <= EXPONENT_MAX);
        }
        self.is_jsonb &= self.at - begin <= NUMBER_BYTES_MAX;
        Some(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    /// The rest of a string whose quote was read, decoded.
    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let begin = self.at;
        let mut decoded: Option<Vec<u8>> = None;
        loop {
            let from = self.at;
            let byte = self.next()?;
            match byte {
                b'"' => {
                    let whole = &self.text[begin..from];
                    return Some(decoded.map_or(Cow::Borrowed(whole), Cow::Owned));
                }
                0..=0x1f => return None,
                b'\\' => {
                    let decoded = decoded.get_or_insert_with(|| self.text[begin..from].to_vec());
                    escape(self.text, &mut self.at, &mut self.is_jsonb, decoded)?;
                }
                byte => {
                    if let Some(decoded) = &mut decoded {
                        decoded.push(byte);
                    }
                }
            }
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// What follows a backslash.
fn escape(text: &[u8], at: &mut usize, is_jsonb: &mut bool, decoded: &mut Vec<u8>) -> Option<()> {
    let byte = *text.get(*at)?;
    *at += 1;
    let plain = match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let unit = unit(text, at)?;
            let character = match unit {
                0xd800..=0xdbff if text.get(*at..*at + 2) == Some(b"\\u") => {
                    let mut after = *at + 2;
                    let low = self::unit(text, &mut after)?;
                    let is_pair = (0xdc00..=0xdfff).contains(&low);
                    if is_pair {
                        *at = after;
                        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                    } else {
                        None
                    }
                }
                unit => char::from_u32(unit),
            };
            // A half of a pair, or NUL.
            *is_jsonb &= character.is_some_and(|character| character != '\0');
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    decoded.push(plain);
    Some(())
}

/// Four hexadecimal digits.
fn unit(text: &[u8], at: &mut usize) -> Option<u32> {
    let digits = text.get(*at..*at + 4)?;
    *at += 4;
    let digit = |value: u32, byte: &u8| Some(value * 16 + char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_what_the_standard_says() {
        for text in [
            "null",
            " true ",
            "0",
            "-0.5e+10",
            "\"a\\u00e9\\ud83d\\ude00\"",
            "[]",
            "{}",
            "[1, [2, {}], \"x\"]",
            "{\"a\": {\"b\": [1, 2, {\"c\": null}]}, \"d\": 1e2}",
        ] {
            assert_eq!(fit(text.as_bytes()), JsonFit::Jsonb, "{text}");
        }
        for text in [
            "",
            " ",
            "nul",
            "nulls",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "[1,]",
            "[",
            "{a: 1}",
            "{'a': 1}",
            "{\"a\" 1}",
            "{\"a\": 1,}",
            "[1] 2",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "]",
            "NaN",
            "[1}",
            "// no",
        ] {
            assert_eq!(fit(text.as_bytes()), JsonFit::None, "{text}");
        }
    }

    #[test]
    fn t31_what_jsonb_would_lose_is_json() {
        for text in [
            "{\"a\": 1, \"a\": 2}",
            "{\"a\": 1, \"\\u0061\": 2}",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "1e400000",
            "[{\"b\": {\"c\": 1, \"c\": 1}}]",
        ] {
            assert_eq!(fit(text.as_bytes()), JsonFit::Json, "{text}");
        }
        assert_eq!(fit(b"[{\"a\": 1}, {\"a\": 2}]"), JsonFit::Jsonb);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert_eq!(fit(&deep(512)), JsonFit::Jsonb);
        assert_eq!(fit(&deep(100_000)), JsonFit::None);
    }
}
